//! What a request cost by the list: models, periods, cache rates, and tiers for long contexts.
//!
//! The table is data that is shipped with the program (`prices.json`, written down from the sellers' pages; docs/LEDGER.md says when) and can be replaced model by model. Prices are US dollars for a million tokens. A name that the
//! table does not have, and a time before its first price, has no price.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
#[cfg(any(feature = "index", test))]
use sha2::{Digest as _, Sha256};
use store_core::{LlmUsage, TimestampMs};

use super::money::NanoDollars;

/// The tables that this program can read.
// Persisted: never renumber or reuse.
const VERSION: u32 = 1;
const SHIPPED: &str = include_str!("prices.json");
const PER_MILLION: u128 = 1_000_000;

/// A table that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// It is not of the form that tables have.
    #[error("the price table cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// It is of another version.
    #[error("the price table is of version {found}, and this program reads {VERSION}")]
    Version {
        /// The version.
        found: u32,
    },
}

#[derive(Deserialize)]
struct File {
    version: u32,
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    model: String,
    prices: Vec<ModelPrice>,
}

/// What a model costs from a day on, in US dollars for a million tokens, as tables and config files say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrice {
    /// The day from whose beginning in UTC it holds; always, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Day>,
    /// Input that the cache has no part in.
    pub input: Rate,
    /// Input that was read from the cache; as other input, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Rate>,
    /// Input that was written to the cache; as other input, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Rate>,
    /// Output.
    pub output: Rate,
    /// What holds for all tokens of a request with much input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<LongContext>,
}

/// What a request with much input costs, in US dollars for a million tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContext {
    /// With more input tokens than this, those of the cache included.
    pub above: u64,
    /// As [`ModelPrice::input`].
    pub input: Rate,
    /// As [`ModelPrice::cache_read`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Rate>,
    /// As [`ModelPrice::cache_write`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Rate>,
    /// As [`ModelPrice::output`].
    pub output: Rate,
}

/// Dollars for a million tokens: a number, or its decimal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub NanoDollars);

/// A day of the calendar: `2025-01-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub Date);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("a price is dollars for a million tokens, such as 3 or 0.25, not {text:?}");
        NanoDollars::parse(text).map(Self).ok_or_else(wrong)
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("a day is written like 2025-01-31, not {text:?}");
        let day: Date = text.parse().map_err(|_| wrong())?;
        // A day has one form, and begins at a time that can be counted.
        if day.to_string() == text && start_of(day).is_some() { Ok(Self(day)) } else { Err(wrong()) }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(Error::custom)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("dollars for a million tokens, such as 3 or \"0.25\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Rate, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Rate, E> {
                self.visit_str(&number.to_string())
            }

            // The shortest text of a number is the one that was written.
            fn visit_f64<E: Error>(self, number: f64) -> Result<Rate, E> {
                self.visit_str(&number.to_string())
            }
        }
        from.deserialize_any(Number)
    }
}

/// Billionths of a dollar for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Price {
    /// The first moment that it holds.
    from: TimestampMs,
    rates: Rates,
    /// What holds for all tokens of a request with more input than this.
    long: Option<(u64, Rates)>,
}

/// What models cost, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceTable(BTreeMap<String, Vec<Price>>);

impl PriceTable {
    /// The table that is shipped with the program.
    ///
    /// # Errors
    /// None: a test reads it.
    pub fn shipped() -> Result<Self, PriceError> {
        Self::parse(SHIPPED)
    }

    /// Reads a table: `{"version":1,"models":[{"model":"m","prices":[{"from":"2025-01-31","input":"3","cache_read":"0.3","cache_write":"3.75","output":"15",
    /// "long":{"above":200000,…the same four…}}]}]}`. A period begins with its day in UTC and ends with the next one's.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let file: File = serde_json::from_str(text)?;
        if file.version != VERSION {
            return Err(PriceError::Version { found: file.version });
        }
        Ok(Self::of(file.models.into_iter().map(|model| (model.model, model.prices))))
    }

    /// A table of models, each with its prices in any order.
    pub fn of(models: impl IntoIterator<Item = (String, Vec<ModelPrice>)>) -> Self {
        let price = |price: &ModelPrice| Price {
            from: price.from.and_then(|day| start_of(day.0)).unwrap_or(0),
            rates: rates(price.input, price.cache_read, price.cache_write, price.output),
            long: price
                .long
                .as_ref()
                .map(|long| (long.above, rates(long.input, long.cache_read, long.cache_write, long.output))),
        };
        let prices_of = |prices: Vec<ModelPrice>| {
            let mut prices: Vec<Price> = prices.iter().map(price).collect();
            prices.sort_by_key(|price| price.from);
            prices
        };
        Self(models.into_iter().map(|(model, prices)| (model, prices_of(prices))).collect())
    }

    /// What tells this table from any other: the same for equal ones.
    #[cfg(any(feature = "index", test))]
    pub(crate) fn fingerprint(&self) -> String {
        let digest = Sha256::digest(format!("{:?}", self.0));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Takes over the models of another table, in place of what is known of them.
    pub fn replace_with(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What a request cost by the list; `None` if its model has no price at its time, or none is named.
    pub fn cost(&self, usage: &LlmUsage) -> Option<NanoDollars> {
        let model = usage.model.as_deref()?;
        let prices = self.0.get(model).or_else(|| self.0.get(listed_name(model)))?;
        let price = prices.iter().rev().find(|price| price.from <= usage.ts)?;
        let rates = match price.long {
            Some((above, rates)) if usage.input_total_tokens > above => rates,
            _ => price.rates,
        };
        let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
        let plain = usage.input_total_tokens.saturating_sub(cached);
        let parts = [
            (plain, rates.input),
            (usage.cache_read_tokens, rates.cache_read),
            (usage.cache_write_tokens, rates.cache_write),
            (usage.output_tokens, rates.output),
        ];
        let sum: u128 = parts.iter().map(|(tokens, rate)| u128::from(*tokens) * u128::from(*rate)).sum();
        i64::try_from((sum + PER_MILLION / 2) / PER_MILLION).ok().map(NanoDollars)
    }
}

fn rates(input: Rate, cache_read: Option<Rate>, cache_write: Option<Rate>, output: Rate) -> Rates {
    // An amount is never negative.
    let nanos = |rate: Rate| u64::try_from(rate.0.0).unwrap_or_default();
    Rates {
        input: nanos(input),
        cache_read: nanos(cache_read.unwrap_or(input)),
        cache_write: nanos(cache_write.unwrap_or(input)),
        output: nanos(output),
    }
}

/// The first millisecond of a day in UTC; `None` for one before 1970.
fn start_of(day: Date) -> Option<TimestampMs> {
    let start = day.to_zoned(TimeZone::UTC).ok()?;
    u64::try_from(start.timestamp().as_millisecond()).ok()
}

/// A model's name without who sells it in front and a day, `latest` or a size of context behind: `anthropic/claude-sonnet-4-5-20250929[1m]` is `claude-sonnet-4-5`.
fn listed_name(model: &str) -> &str {
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = name.strip_suffix("[1m]").unwrap_or(name);
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    for (separator, count) in [('-', 8), ('@', 8)] {
        if let Some((name, day)) = name.rsplit_once(separator)
            && digits(day, count)
        {
            return name;
        }
    }
    if let Some((front, day)) = name.len().checked_sub(11).and_then(|at| name.split_at_checked(at))
        && day.parse::<Date>().is_err()
        && let Some(day) = day.strip_prefix('-')
        && day.parse::<Date>().is_ok()
    {
        return front;
    }
    name.strip_suffix("-latest").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOVEMBER_2025: TimestampMs = 1_763_900_000_000;

    fn usage(model: &str, ts: TimestampMs, input: u64, read: u64, write: u64, output: u64) -> LlmUsage {
        LlmUsage {
            ts,
            model: Some(model.to_owned()),
            input_total_tokens: input,
            cache_read_tokens: read,
            cache_write_tokens: write,
            output_tokens: output,
            ..LlmUsage::default()
        }
    }

    fn cost(usage: &LlmUsage) -> Option<String> {
        PriceTable::shipped().unwrap().cost(usage).map(|cost| cost.to_string())
    }

    #[test]
    fn each_kind_of_token_has_its_rate() {
        let parts = usage("claude-sonnet-4-5-20250929", NOVEMBER_2025, 111_000, 100_000, 1_000, 1_000);
        // 10,000 at 3, 100,000 at 0.30, 1,000 at 3.75 and 1,000 at 15 dollars for a million.
        assert_eq!(cost(&parts).as_deref(), Some("0.07875"));
    }

    #[test]
    fn a_long_context_has_its_own_rates_for_all_tokens() {
        let at = usage("claude-sonnet-4-5", NOVEMBER_2025, 200_000, 0, 0, 1_000);
        let above = usage("claude-sonnet-4-5", NOVEMBER_2025, 200_001, 0, 0, 1_000);
        assert_eq!([cost(&at), cost(&above)].map(Option::unwrap), ["0.615", "1.222506"]);
    }

    #[test]
    fn a_price_holds_from_its_day_on() {
        let before = usage("o3", 1_749_513_599_999, 1_000_000, 0, 0, 0);
        let from = usage("o3", 1_749_513_600_000, 1_000_000, 0, 0, 0);
        assert_eq!([cost(&before), cost(&from)].map(Option::unwrap), ["10", "2"]);
        assert_eq!(cost(&usage("o3", 1, 1, 1, 1, 1)), None, "before there was a price there was none");
    }

    #[test]
    fn an_unknown_model_has_no_price_and_is_not_free() {
        for model in ["", "claude", "claude-sonnet-4-5-turbo", "claude-sonnet-4-52025", "gpt-5.1-codexx", "<synthetic>"]
        {
            assert_eq!(cost(&usage(model, NOVEMBER_2025, 1000, 0, 0, 0)), None, "{model:?}");
        }
        assert_eq!(PriceTable::shipped().unwrap().cost(&LlmUsage { model: None, ..LlmUsage::default() }), None);
    }

    #[test]
    fn the_names_of_one_model_have_one_price() {
        for model in ["gpt-4o", "openai/gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-latest", "gpt-4o@20240806", "gpt-4o[1m]"]
        {
            assert_eq!(cost(&usage(model, NOVEMBER_2025, 1_000_000, 0, 0, 0)).as_deref(), Some("2.5"), "{model}");
        }
    }

    #[test]
    fn the_shipped_prices_are_plausible() {
        for (model, prices) in &PriceTable::shipped().unwrap().0 {
            assert!(prices.is_sorted_by(|one, next| one.from < next.from), "{model}: a day twice");
            for price in prices {
                let (short, long) = (price.rates, price.long.map_or(price.rates, |(_, rates)| rates));
                for Rates { input, cache_read, cache_write, output } in [short, long] {
                    assert!(0 < cache_read && cache_read <= input && input < output, "{model}");
                    assert!(input <= cache_write && cache_write <= 2 * input, "{model}: writing to a cache");
                }
                assert!(short.input <= long.input && short.output <= long.output, "{model}: a long context");
            }
        }
    }

    #[test]
    fn a_table_of_ones_own_may_leave_out_what_follows() {
        let price: ModelPrice = serde_json::from_str(r#"{"input":3,"output":"15","cache_read":0.3}"#).unwrap();
        let table = PriceTable::of([("seller/mine".to_owned(), vec![price.clone()])]);
        let cost =
            |model| table.cost(&usage(model, 0, 3_000_000, 1_000_000, 1_000_000, 0)).map(|cost| cost.to_string());
        assert_eq!(cost("seller/mine").as_deref(), Some("6.3"), "always, and writing to a cache is input");
        assert_eq!(cost("mine"), None, "a name is taken as it is first");
        assert_eq!(table.fingerprint(), PriceTable::of([("seller/mine".to_owned(), vec![price])]).fingerprint());
        assert_ne!(table.fingerprint(), PriceTable::default().fingerprint());
        for wrong in [
            r#"{"input":-3,"output":1}"#,
            r#"{"input":1}"#,
            r#"{"input":1,"output":1,"inptu":1}"#,
            r#"{"input":1,"output":1,"from":"2025-02-30"}"#,
            r#"{"input":true,"output":1}"#,
        ] {
            assert!(serde_json::from_str::<ModelPrice>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_table_takes_the_place_of_its_models_alone() {
        let mut table = PriceTable::shipped().unwrap();
        let own = r#"{"version":1,"models":[{"model":"gpt-4o","prices":[{"from":"2020-01-01","input":"1","cache_read":"1","cache_write":"1","output":"1"}]}]}"#;
        table.replace_with(PriceTable::parse(own).unwrap());
        let million = |model| table.cost(&usage(model, NOVEMBER_2025, 1_000_000, 0, 0, 0)).unwrap().to_string();
        assert_eq!((million("gpt-4o"), million("gpt-5")), ("1".to_owned(), "1.25".to_owned()));
        let newer = own.replace("\"version\":1", "\"version\":2");
        assert!(matches!(PriceTable::parse(&newer), Err(PriceError::Version { found: 2 })));
        let wrong = own.replace("\"input\":\"1\"", "\"input\":\"-1\"");
        let why = PriceTable::parse(&wrong).unwrap_err().to_string();
        assert!(why.contains("such as 3 or 0.25, not \"-1\""), "{why}");
    }
}
