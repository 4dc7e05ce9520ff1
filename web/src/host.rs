//! What a browser does for a session: it takes events, and it gives others their turn.

use std::time::Duration;

use js_sys::{Function, Promise};
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::protocol::Event;

/// The functions that a worker gives a session.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    post: Function,
    turn: Function,
}

impl Host {
    pub(crate) fn new(post: Function, turn: Function) -> Self {
        Self { post, turn }
    }

    /// Sends an event to the page.
    pub(crate) fn post(&self, event: &Event) {
        // Missing values as null, so that the page tells them from misspelt names.
        let serializer = Serializer::new().serialize_missing_as_null(true);
        match event.serialize(&serializer) {
            // A page that throws is not the session's fault, and the worker reports it.
            Ok(event) => drop(self.post.call1(&JsValue::NULL, &event)),
            Err(error) => drop(self.post.call1(&JsValue::NULL, &error.into())),
        }
    }

    /// Lets the worker see to its messages, for so long at least.
    pub(crate) async fn turn(&self, at_least: Duration) {
        let milliseconds = at_least.as_secs_f64() * 1e3;
        let promise = self.turn.call1(&JsValue::NULL, &milliseconds.into());
        if let Some(promise) = promise.ok().and_then(|got| got.dyn_into::<Promise>().ok()) {
            // A timer never fails.
            drop(JsFuture::from(promise).await);
        }
    }
}
