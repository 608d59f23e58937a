//! The settings that a conversation is held under.

use std::collections::BTreeMap;

use serde_json::Value;
use store_core::SessionConfig;

use super::place::{Place, config_changed};
use super::reader::CodexReader;
use crate::import::fields::{filled, owned};
use crate::import::record::Step;

/// What the thinking level is called when a conversation goes back to the model's own.
const DEFAULT_THINKING: &str = "default";

impl CodexReader {
    /// The settings in a `turn_context` or in applied thread settings.
    pub(super) fn settings(&mut self, settings: &Value) -> SessionConfig {
        let effort = [
            settings.get("effort"),
            settings.get("reasoning_effort"),
            settings.pointer("/collaboration_mode/settings/reasoning_effort"),
        ];
        let effort = effort.into_iter().flatten().find_map(Value::as_str).map(str::to_owned);
        let thinking = effort.or_else(|| self.has_thinking.then(|| DEFAULT_THINKING.to_owned()));
        self.has_thinking = thinking.is_some();
        let model = owned(settings, "model");
        if model.is_some() {
            self.model.clone_from(&model);
        }
        let kept = ["approval_policy", "sandbox_policy"].into_iter();
        let kept = kept.filter_map(|key| Some((key.to_owned(), settings.get(key)?.clone())));
        let other: BTreeMap<String, Value> = kept.filter(|(_, value)| !value.is_null()).collect();
        SessionConfig {
            model,
            provider: owned(settings, "model_provider_id"),
            cwd: owned(settings, "cwd"),
            branch: None,
            thinking,
            other,
        }
    }

    /// A header; the first one was read as the file's head.
    pub(super) fn header(&mut self, place: &Place, meta: &Value, out: &mut Vec<Step>) {
        let is_own = filled(meta, "id").is_none_or(|id| id == self.thread);
        if std::mem::replace(&mut self.header_read, true) && is_own {
            let config = SessionConfig {
                cwd: owned(meta, "cwd"),
                branch: meta.get("git").and_then(|git| owned(git, "branch")),
                ..SessionConfig::default()
            };
            out.push(place.entries(vec![config_changed(place.ts, config)]));
        } else {
            out.push(place.skipped());
        }
    }
}
