//! `/openapi.json`: what is served, for programs that read it. Our own parsers stay as they are, strict and by hand; these
//! types describe what they take, and tests hold both to each other.
//!
//! Nothing here waits.

mod answers;
mod chat;
mod kinds;
pub(crate) mod operations;
pub(crate) mod requests;

use utoipa::openapi::path::{HttpMethod, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths,
};
use utoipa::{PartialSchema, ToSchema};

use crate::routes::Route;

/// What operations call the way in.
const BEARER: &str = "bearer";

/// The document of these routes.
pub(crate) fn document(routes: &[Route]) -> OpenApi {
    let mut paths = Paths::new();
    for route in routes {
        let method = match route.method.as_str() {
            "POST" => HttpMethod::Post,
            _ => HttpMethod::Get,
        };
        let item = PathItem::new(method, (route.operation)());
        paths = paths_with(paths, &route.path(), item);
    }
    let license = LicenseBuilder::new()
        .name(env!("CARGO_PKG_LICENSE"))
        .build();
    let info = InfoBuilder::new()
        .title("Paraphym")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Models on this machine, as the OpenAI API has them. A field that is not described here is refused by name; \
             null is the same as absent. A field that depends on another says so in words.",
        ))
        .license(Some(license))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components()))
        .build()
}

/// Two methods of one path are one item.
fn paths_with(mut paths: Paths, path: &str, item: PathItem) -> Paths {
    match paths.paths.get_mut(path) {
        Some(known) => known.merge_operations(item),
        None => {
            paths.paths.insert(path.to_owned(), item);
        }
    }
    paths
}

fn components() -> Components {
    let mut all = Vec::new();
    let mut add = |(name, schema), more: fn(&mut Vec<_>)| {
        all.push((name, schema));
        more(&mut all);
    };
    add(named::<chat::ChatRequest>(), chat::ChatRequest::schemas);
    add(
        named::<requests::CompletionRequest>(),
        requests::CompletionRequest::schemas,
    );
    add(
        named::<requests::EmbeddingRequest>(),
        requests::EmbeddingRequest::schemas,
    );
    add(named::<requests::Nothing>(), requests::Nothing::schemas);
    add(
        named::<answers::ChatCompletion>(),
        answers::ChatCompletion::schemas,
    );
    add(named::<answers::ChatChunk>(), answers::ChatChunk::schemas);
    add(
        named::<answers::TextCompletion>(),
        answers::TextCompletion::schemas,
    );
    add(named::<answers::Embeddings>(), answers::Embeddings::schemas);
    add(named::<answers::Models>(), answers::Models::schemas);
    add(
        named::<answers::Cancellation>(),
        answers::Cancellation::schemas,
    );
    add(named::<answers::Health>(), answers::Health::schemas);
    add(named::<answers::Readiness>(), answers::Readiness::schemas);
    add(named::<answers::Error>(), answers::Error::schemas);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token; on loopback none may be needed."));
    ComponentsBuilder::new()
        .schemas_from_iter(all)
        .security_scheme(BEARER, SecurityScheme::Http(bearer.build()))
        .build()
}

fn named<T: ToSchema + PartialSchema>() -> (
    String,
    utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>,
) {
    (T::name().into_owned(), T::schema())
}

#[cfg(test)]
mod tests;
