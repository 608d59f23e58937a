//! Lines without a place of their own in the transcript, which tell about it.

use serde_json::Value;
use store_core::TimestampMs;

use super::place::Place;
use super::reader::ClaudeReader;
use crate::import::fields::{owned, text};
use crate::import::record::{Parent, Step};

impl ClaudeReader {
    /// A record that tells about the transcript.
    pub(super) fn about(&mut self, value: Value, line: u64, out: &mut Vec<Step>) {
        let ts = self.ts;
        let skipped = Step::Skipped { line };
        match text(&value, "type").unwrap_or_default() {
            "last-prompt" => {
                if let Some(leaf) = owned(&value, "leafUuid") {
                    self.end_at_leaf(&leaf, line, out);
                    let record = self.seen.get(&leaf).flatten().unwrap_or(leaf);
                    out.push(Step::ActiveLeaf { record });
                }
                out.push(skipped);
            }
            "custom-title" => push_or_skip(title(&value, "customTitle", ts, true), line, out),
            "ai-title" => push_or_skip(title(&value, "aiTitle", ts, false), line, out),
            "summary" => {
                // Files begin with summaries of other conversations, which name a leaf that is not in them.
                let is_own = text(&value, "leafUuid").is_some_and(|leaf| self.seen.contains(leaf));
                push_or_skip(title(&value, "summary", ts, false).filter(|_| is_own), line, out);
            }
            "tag" => {
                let tags = owned(&value, "tag").into_iter().collect();
                push_or_skip(Some(Step::Tags { ts, tags }), line, out);
            }
            kind if is_noise(kind) => out.push(skipped),
            _ => {
                let place = Place { record: self.name(None, line), line, ts };
                self.seen.insert(&place.record, None);
                out.push(place.entries(Parent::Previous, vec![place.extension(value)]));
            }
        }
    }

    /// What names the last response as the leaf stands outside of it.
    fn end_at_leaf(&mut self, leaf: &str, line: u64, out: &mut Vec<Step>) {
        if self.ended.take_if(|ended| ended.has_text && ended.record == leaf).is_some() {
            let record = self.name(None, line);
            self.seen.insert(&record, None);
            out.push(Step::EndTurn { record, line, ts: self.ts });
        }
    }
}

fn push_or_skip(step: Option<Step>, line: u64, out: &mut Vec<Step>) {
    out.push(step.unwrap_or(Step::Skipped { line }));
}

fn title(value: &Value, key: &str, ts: TimestampMs, by_person: bool) -> Option<Step> {
    owned(value, key).map(|text| Step::Title { ts, text, by_person })
}

/// Lines that repeat what the transcript says, or that only the program needs.
fn is_noise(kind: &str) -> bool {
    const NOISE: [&str; 8] = [
        "queue-operation",
        "mode",
        "permission-mode",
        "agent-name",
        "file-history-snapshot",
        "file-history-delta",
        "cost-state",
        "tools-used",
    ];
    NOISE.contains(&kind) || kind.starts_with("api-request")
}
