//! A tool of one async closure: its arguments are a type, and the schema that the model sees is that type's.

use std::fmt::Display;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use domain::ToolSpec;
use futures_util::FutureExt;
use futures_util::future::ready;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cut::head;
use crate::tool::{Tool, ToolContext, ToolFuture, ToolOutput};
use crate::tool_error::ToolError;

/// Bytes of a schema that an error shows, and of what is wrong with an argument, which may quote it.
const ALLOWED: usize = 2048;
const PROBLEM: usize = 256;

/// A tool that is a function from `A` to what the model reads; [`function`] makes it.
///
/// Unless said otherwise a call needs approval, is not repeated after a crash, and has the toolbox's time.
#[must_use = "a tool does nothing until it is in a toolbox"]
pub struct FunctionTool<A, F> {
    spec: ToolSpec,
    call: F,
    timeout: Option<Duration>,
    read_only: bool,
    idempotent: bool,
    arguments: PhantomData<fn(A)>,
}

/// Makes a tool of an async closure. What it returns is what the model reads: a text, JSON, or a [`ToolOutput`]; its error, in
/// its own words, is read as the failure of this one call.
///
/// The fields of `A` and their doc comments are what the model is told of the arguments. Arguments that are no `A` are
/// refused before the call, in words that the model can act on.
///
/// ```
/// # extern crate paraphym_toolbox as toolbox;
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Order {
///     /// What is ordered.
///     dish: String,
///     /// For how many people, 1 to 12.
///     people: u8,
/// }
///
/// let kitchen = toolbox::function("order", "Orders a dish.", |order: Order, _| async move {
///     match order.people {
///         1..=12 => Ok(format!("{} for {} is on its way", order.dish, order.people)),
///         _ => Err("there are 12 seats: order for 1 to 12 people"),
///     }
/// });
/// # let _: std::sync::Arc<dyn toolbox::Tool> = std::sync::Arc::new(kitchen);
/// ```
pub fn function<A, F, Fut, O, E>(
    name: impl Into<String>,
    description: impl Into<String>,
    call: F,
) -> FunctionTool<A, F>
where
    A: DeserializeOwned + JsonSchema,
    F: Fn(A, ToolContext) -> Fut + Send + Sync,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    O: Into<ToolOutput>,
    E: Display,
{
    FunctionTool {
        spec: ToolSpec {
            name: name.into(),
            description: description.into(),
            parameters: schema_of::<A>(),
        },
        call,
        timeout: None,
        read_only: false,
        idempotent: false,
        arguments: PhantomData,
    }
}

/// Everything in one piece, for a model follows no references; only a type that holds itself still has one.
fn schema_of<A: JsonSchema>() -> Arc<str> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<A>();
    // The type's name says nothing that the tool's does not.
    schema.remove("title");
    Arc::from(Value::from(schema).to_string())
}

impl<A, F> FunctionTool<A, F> {
    /// It changes nothing, so a call needs nobody's approval and may be repeated.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self.idempotent = true;
        self
    }

    /// A call that is made twice is as good as one: it may be repeated after a crash.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// How long one call may take; at most [`MAX_TIMEOUT`](crate::MAX_TIMEOUT).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn refused(&self, error: &serde_path_to_error::Error<serde_json::Error>) -> ToolError {
        let (field, problem) = (error.path().to_string(), error.inner().to_string());
        // The whole of them is called so.
        let field = if field == "." { "arguments" } else { &field };
        let allowed = format!(
            "arguments that fit {}",
            head(&self.spec.parameters, ALLOWED)
        );
        let problem = format!("is not accepted: {}", head(&problem, PROBLEM));
        ToolError::bad_argument(&self.spec.name, field, problem, allowed)
    }
}

impl<A, F, Fut, O, E> Tool for FunctionTool<A, F>
where
    A: DeserializeOwned,
    F: Fn(A, ToolContext) -> Fut + Send + Sync,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    O: Into<ToolOutput>,
    E: Display,
{
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, arguments: Value, context: ToolContext) -> ToolFuture<'_> {
        let name = &self.spec.name;
        let arguments = match serde_path_to_error::deserialize(arguments) {
            Ok(arguments) => arguments,
            Err(error) => return ready(Err(self.refused(&error))).boxed(),
        };
        let called = (self.call)(arguments, context);
        async move {
            let found = called.await;
            found
                .map(Into::into)
                .map_err(|error| ToolError::failed(name, error.to_string()))
        }
        .boxed()
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn is_idempotent(&self) -> bool {
        self.idempotent
    }
}

#[cfg(test)]
mod tests {
    use domain::{ToolCall, ToolCallId};
    use serde::Deserialize;
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::toolbox::Toolbox;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Order {
        /// What is ordered.
        dish: String,
        /// For how many people.
        people: u8,
        #[serde(default)]
        extras: Vec<Extra>,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Extra {
        name: String,
    }

    fn kitchen() -> impl Tool {
        function("order", "Orders a dish.", |order: Order, _| async move {
            let extras: Vec<String> = order.extras.into_iter().map(|one| one.name).collect();
            match order.people {
                0 => Err("nobody is hungry: order for 1 person or more"),
                people => Ok(format!("{} for {people}, {}", order.dish, extras.join("+"))),
            }
        })
    }

    async fn call(arguments: &Value) -> Result<String, ToolError> {
        let toolbox = Toolbox::new([Arc::new(kitchen()) as Arc<dyn Tool>]).unwrap();
        let call = ToolCall {
            id: ToolCallId::new("call-1"),
            name: "order".to_owned(),
            arguments: arguments.to_string(),
        };
        let called = toolbox.call(&call, &CancellationToken::new()).await;
        called.map(|output| output.text)
    }

    #[tokio::test]
    async fn a_closure_gets_its_arguments_and_its_answer_is_what_the_model_reads() {
        let arguments = json!({"dish": "soup", "people": 2, "extras": [{"name": "bread"}]});
        assert_eq!(call(&arguments).await.unwrap(), "soup for 2, bread");
    }

    #[tokio::test]
    async fn what_the_closure_says_no_to_is_one_failed_call() {
        let error = call(&json!({"dish": "soup", "people": 0}))
            .await
            .unwrap_err();
        let expected = ToolError::failed("order", "nobody is hungry: order for 1 person or more");
        assert_eq!(error, expected);
    }

    #[tokio::test]
    async fn arguments_that_do_not_fit_the_type_are_refused_by_field_before_the_call() {
        for (arguments, field, problem) in [
            (json!({"dish": "soup"}), "people", "is missing"),
            (
                json!({"dish": "soup", "people": 300}),
                "people",
                "is not accepted: invalid value: integer `300`, expected u8",
            ),
            (
                json!({"dish": "soup", "people": 1, "extras": [{"name": 3}]}),
                "extras[0].name",
                "is not accepted: invalid type: integer `3`, expected a string",
            ),
        ] {
            let error = call(&arguments).await.unwrap_err();
            assert!(error.is_before_the_call());
            let text = error.to_string();
            let start = format!("`order` was not called: `{field}` {problem}. Call it again with");
            assert!(text.starts_with(&start), "{text}");
        }
    }

    #[test]
    fn the_schema_is_that_of_the_type_in_one_piece_with_its_doc_comments() {
        let tool = kitchen();
        let schema: Value = serde_json::from_str(&tool.spec().parameters).unwrap();
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "properties": {
                    "dish": {"description": "What is ordered.", "type": "string"},
                    "people": {
                        "description": "For how many people.",
                        "type": "integer",
                        "format": "uint8",
                        "minimum": 0,
                        "maximum": 255
                    },
                    "extras": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"name": {"type": "string"}},
                            "required": ["name"]
                        }
                    }
                },
                "required": ["dish", "people"],
                "additionalProperties": false
            })
        );
    }

    #[test]
    fn what_may_be_repeated_or_needs_no_approval_is_said() {
        let tool = || function("t", "", |(): (), _| async { Ok::<_, String>("x") });
        let seen = |tool: &dyn Tool| (tool.is_read_only(), tool.is_idempotent(), tool.timeout());
        let second = Duration::from_secs(1);
        assert_eq!(seen(&tool()), (false, false, None));
        assert_eq!(seen(&tool().idempotent()), (false, true, None));
        assert_eq!(
            seen(&tool().read_only().timeout(second)),
            (true, true, Some(second))
        );
    }
}
