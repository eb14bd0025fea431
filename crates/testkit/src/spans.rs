//! Collects what is logged with the spans it is logged in, so that a test can ask whose an event is, and whether a text is in
//! any of it.
//!
//! Threads of the blocking pool log too, so it is the whole process's subscriber: one test of a process installs it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Names and values.
pub type Fields = BTreeMap<String, String>;

/// A span, with what was recorded in it so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is called.
    pub name: String,
    /// Its target.
    pub target: String,
    /// How loud.
    pub level: Level,
    /// Its fields.
    pub fields: Fields,
}

/// An event and the spans it was logged in, the outermost first.
#[derive(Clone, Debug)]
pub struct Logged {
    /// How loud.
    pub level: Level,
    /// Its target.
    pub target: String,
    /// Its message.
    pub message: String,
    /// Its other fields.
    pub fields: Fields,
    /// The spans.
    pub within: Vec<Seen>,
}

impl Logged {
    /// The names of its spans, the outermost first: `request > handle`.
    pub fn path(&self) -> String {
        let names: Vec<&str> = self.within.iter().map(|span| span.name.as_str()).collect();
        names.join(" > ")
    }

    /// The innermost value of a field of its spans.
    pub fn of_span(&self, field: &str) -> Option<&str> {
        let mut values = self
            .within
            .iter()
            .rev()
            .filter_map(|span| span.fields.get(field));
        values.next().map(String::as_str)
    }
}

#[derive(Default)]
struct Collected {
    events: Vec<Logged>,
    /// Every span there was, by its id.
    spans: Vec<Seen>,
    /// What was recorded after they were made, with their levels.
    recorded: Vec<(Level, Fields)>,
    /// Those that are over.
    closed: Vec<Seen>,
}

/// What was collected so far. Cloning gives another look at the same.
#[derive(Clone, Default)]
pub struct Spans(Arc<Mutex<Collected>>);

impl Spans {
    /// Collects what the whole process logs from now on, up to `loudest`.
    ///
    /// # Panics
    /// The process has a subscriber.
    #[allow(clippy::expect_used, reason = "a test that sees nothing has failed")]
    pub fn of_process(loudest: LevelFilter) -> Self {
        let spans = Self::default();
        let layers = tracing_subscriber::registry().with(spans.clone().with_filter(loudest));
        tracing::subscriber::set_global_default(layers).expect("one subscriber a process");
        spans
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All events.
    pub fn events(&self) -> Vec<Logged> {
        self.lock().events.clone()
    }

    /// All spans, as they were made.
    pub fn spans(&self) -> Vec<Seen> {
        self.lock().spans.clone()
    }

    /// The spans that are over: nobody holds them, nor one within them.
    pub fn closed(&self) -> Vec<Seen> {
        self.lock().closed.clone()
    }

    /// Where `text` is in what is logged at `loudest` or more quietly: in a message, in a field, in a field of a span.
    pub fn with(&self, text: &str, loudest: Level) -> Vec<String> {
        let collected = self.lock();
        let mut found = Vec::new();
        let events = collected.events.iter();
        for event in events.filter(|event| event.level <= loudest) {
            let mut values = event.fields.values().chain([&event.message]);
            if values.any(|value| value.contains(text)) {
                found.push(format!(
                    "{} {}: {}",
                    event.level, event.target, event.message
                ));
            }
        }
        let spans = collected.spans.iter();
        for span in spans.filter(|span| span.level <= loudest) {
            if span.fields.values().any(|value| value.contains(text)) {
                found.push(format!("span {}: {:?}", span.name, span.fields));
            }
        }
        for (level, fields) in &collected.recorded {
            if *level <= loudest && fields.values().any(|value| value.contains(text)) {
                found.push(format!("recorded: {fields:?}"));
            }
        }
        found
    }
}

#[derive(Default)]
struct Reader(Fields);

impl Visit for Reader {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Reader::default();
        attributes.record(&mut fields);
        let seen = Seen {
            name: attributes.metadata().name().to_owned(),
            target: attributes.metadata().target().to_owned(),
            level: *attributes.metadata().level(),
            fields: fields.0,
        };
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(seen.clone());
        }
        self.lock().spans.push(seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Reader::default();
        values.record(&mut fields);
        let Some(span) = context.span(id) else { return };
        let level = *span.metadata().level();
        self.lock().recorded.push((level, fields.0.clone()));
        if let Some(seen) = span.extensions_mut().get_mut::<Seen>() {
            seen.fields.extend(fields.0);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id);
        let seen = span.and_then(|span| span.extensions().get::<Seen>().cloned());
        self.lock().closed.extend(seen);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Reader::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let scope = context.event_scope(event);
        let spans = scope.into_iter().flat_map(Scope::from_root);
        let within = spans
            .filter_map(|span| span.extensions().get::<Seen>().cloned())
            .collect();
        self.lock().events.push(Logged {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            message,
            fields: fields.0,
            within,
        });
    }
}
