//! What model responses used.
//!
//! Newer versions record each response by its id. Older ones only tell the running totals of the thread, again and
//! again: there the change counts. A file that has the former is never counted by the latter.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{LlmUsage, TimestampMs};

use crate::import::fields::{count, owned};

/// Token counts as Codex writes them: input includes what came from the cache, output includes reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    input: u64,
    cached: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
}

impl Counts {
    fn read(value: &Value) -> Self {
        Self {
            input: count(value, "input_tokens"),
            cached: count(value, "cached_input_tokens"),
            cache_write: count(value, "cache_write_input_tokens"),
            output: count(value, "output_tokens"),
            reasoning: count(value, "reasoning_output_tokens"),
        }
    }

    const fn is_below(&self, other: &Self) -> bool {
        self.input < other.input || self.output < other.output
    }

    const fn minus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_sub(other.input),
            cached: self.cached.saturating_sub(other.cached),
            cache_write: self.cache_write.saturating_sub(other.cache_write),
            output: self.output.saturating_sub(other.output),
            reasoning: self.reasoning.saturating_sub(other.reasoning),
        }
    }

    fn entry(&self, ts: TimestampMs, request_id: Option<String>, model: Option<String>) -> Option<LlmUsage> {
        (*self != Self::default()).then_some(LlmUsage {
            ts,
            request_id,
            model,
            history_len: 0,
            input_total_tokens: self.input,
            cache_read_tokens: self.cached,
            cache_write_tokens: self.cache_write,
            output_tokens: self.output,
            reasoning_tokens: Some(self.reasoning),
            cost: None,
        })
    }
}

/// Turns usage records, or running totals, into the usage of each response.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UsageReader {
    /// The totals so far; `None` before the first ones of a thread whose totals begin with those of another.
    totals: Option<Counts>,
    /// Whether responses are recorded one by one.
    by_response: bool,
}

impl UsageReader {
    /// A reader of a thread. One that continues another by reference begins with that one's totals.
    pub(super) fn new(continues_another: bool) -> Self {
        Self { totals: (!continues_another).then(Counts::default), by_response: false }
    }

    /// The usage in a `token_usage_record`.
    pub(super) fn of_response(&mut self, payload: &Value, ts: TimestampMs, model: Option<String>) -> Option<LlmUsage> {
        self.by_response = true;
        Counts::read(payload.get("usage")?).entry(ts, owned(payload, "response_id"), model)
    }

    /// What was used since the last totals, by those in a `token_count`.
    pub(super) fn of_totals(&mut self, payload: &Value, ts: TimestampMs, model: Option<String>) -> Option<LlmUsage> {
        let info = payload.get("info")?;
        let totals = Counts::read(info.get("total_token_usage")?);
        let used = match self.totals.replace(totals) {
            Some(before) if totals.is_below(&before) => totals,
            Some(before) => totals.minus(&before),
            None => info.get("last_token_usage").map(Counts::read).unwrap_or_default(),
        };
        if self.by_response { None } else { used.entry(ts, None, model) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn totals(input: u64, output: u64, last: (u64, u64)) -> Value {
        json!({"info": {
            "total_token_usage": {"input_tokens": input, "output_tokens": output},
            "last_token_usage": {"input_tokens": last.0, "output_tokens": last.1},
        }})
    }

    fn used(reader: &mut UsageReader, payload: &Value) -> Option<(u64, u64)> {
        reader.of_totals(payload, 1, None).map(|usage| (usage.input_total_tokens, usage.output_tokens))
    }

    #[test]
    fn the_change_of_the_totals_counts_and_repeats_do_not() {
        let mut reader = UsageReader::new(false);
        assert_eq!(used(&mut reader, &json!({"info": null})), None);
        assert_eq!(used(&mut reader, &totals(100, 10, (100, 10))), Some((100, 10)));
        assert_eq!(used(&mut reader, &totals(100, 10, (100, 10))), None);
        assert_eq!(used(&mut reader, &totals(150, 12, (50, 2))), Some((50, 2)));
    }

    #[test]
    fn totals_that_go_down_start_anew() {
        let mut reader = UsageReader::new(false);
        used(&mut reader, &totals(100, 10, (100, 10)));
        assert_eq!(used(&mut reader, &totals(30, 3, (30, 3))), Some((30, 3)));
        assert_eq!(used(&mut reader, &totals(40, 4, (10, 1))), Some((10, 1)));
    }

    #[test]
    fn a_thread_that_continues_another_does_not_count_the_totals_it_begins_with() {
        let mut reader = UsageReader::new(true);
        assert_eq!(used(&mut reader, &totals(1_100, 110, (100, 10))), Some((100, 10)));
        assert_eq!(used(&mut reader, &totals(1_300, 130, (200, 20))), Some((200, 20)));
    }

    #[test]
    fn a_file_that_records_responses_is_not_counted_by_its_totals() {
        let mut reader = UsageReader::new(false);
        let record =
            json!({"response_id": "r1", "usage": {"input_tokens": 7, "cached_input_tokens": 5, "output_tokens": 2}});
        let usage = reader.of_response(&record, 1, Some("m".into())).unwrap();
        assert_eq!((usage.request_id.as_deref(), usage.cache_read_tokens), (Some("r1"), 5));
        assert_eq!(used(&mut reader, &totals(9, 3, (9, 3))), None);
    }
}
