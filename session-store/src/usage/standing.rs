//! What the books say of each request: the fold of its transactions.
//!
//! A transaction of a usage book names its request, by its key or, where that would be too long, in its `meta`, and its id is derived from that name and the transaction's
//! number. So whoever reads a book can tell what it says of whom, without asking the index or the logs. Transactions that name no request so are somebody else's, and are passed over.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store_core::ledger::{
    AccountId, Asset, AssetId, BookName, Draft, Event, EventBody, Ledger, LedgerError, LedgerResult, Side, TimestampUs,
};
use store_core::{LlmUsage, Seq, TimestampMs, TransactionId};

use super::money::NanoDollars;
use super::prices::PriceTable;
use super::{PricedUse, Use};

/// What the books count: the name of the asset, and how many decimals it has.
// Persisted: never rename.
pub(crate) const UNITS: [(&str, u8); 8] = [
    ("requests", 0),
    ("input_tokens", 0),
    ("output_tokens", 0),
    ("cache_read_tokens", 0),
    ("cache_write_tokens", 0),
    ("reasoning_tokens", 0),
    ("usd", 9),
    ("reported_usd", 9),
];

/// An asset that the books of usage and of budgets count, by its name; `None` for one of somebody else.
pub fn known_asset(id: &AssetId) -> Option<Asset> {
    let (_, precision) = UNITS.into_iter().find(|(name, _)| *name == id.as_str())?;
    Some(Asset { id: id.clone(), precision })
}

/// An amount of each unit.
pub(crate) type Amounts = [i64; UNITS.len()];

/// The net of each account that says anything.
pub(crate) type Nets = BTreeMap<AccountId, i64>;

/// What every usage book's name begins with.
// Persisted: never rename.
const BOOK_PREFIX: &str = "usage-";
/// The longest name of a request that is a key as it is.
const NAME_BYTES_MAX: usize = 900;
/// The longest name of a request that a transaction can tell.
pub(super) const REQUEST_BYTES_MAX: usize = 32 * 1024;
/// Where a transaction names a request whose name is too long for a key.
// Persisted: never rename.
const META_REQUEST: &str = "request";
// Persisted: never rename.
const META_PROJECT: &str = "project";
// Persisted: never rename.
const META_UNPRICED: &str = "unpriced";
/// How many events are read at once.
const EVENTS_MAX: usize = 4096;

/// What is held of a request by one session, under one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    book: BookName,
    agent: String,
    session: String,
    model: String,
    amounts: Amounts,
}

/// What the books say of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The highest number of its transactions; 0 if there is none.
    pub(crate) number: u64,
    /// When it was made.
    at: TimestampMs,
    project: Option<String>,
    unpriced: bool,
    /// By whom; more than one only while it is moved from one to another.
    held: Vec<Held>,
}

/// What one transaction says of a request.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) request: String,
    number: u64,
    at: TimestampMs,
    project: Option<String>,
    unpriced: bool,
    changes: Vec<Held>,
}

/// The book of a project: `usage-` and the first 32 digits of its SHA-256.
///
/// # Errors
/// None: that is always a name.
pub fn usage_book(project: Option<&str>) -> LedgerResult<BookName> {
    let digest = Sha256::digest(project.unwrap_or_default());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{BOOK_PREFIX}{hex}").parse()
}

/// Whether a book is one of those that uses are posted to.
pub fn is_usage_book(book: &BookName) -> bool {
    book.as_str().starts_with(BOOK_PREFIX)
}

/// The n-th transaction of a request.
pub(super) fn transaction_id(request: &str, number: u64) -> TransactionId {
    TransactionId::derive(0, format!("usage\n{request}\n{number}").as_bytes())
}

/// What a use and its price come to in the books.
pub(super) fn wanted(one: &Use, prices: &PriceTable) -> LedgerResult<Held> {
    let usage = &one.usage;
    let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    // What no path can hold is left out of names.
    let plain = |text: Option<&str>| {
        let text = text.unwrap_or_default().chars().filter(|c| !c.is_control());
        text.take(64).collect::<String>()
    };
    Ok(Held {
        book: usage_book(one.project.as_deref())?,
        agent: plain(one.agent.as_deref()).replace(':', "_"),
        session: one.session.to_string(),
        model: plain(usage.model.as_deref()),
        amounts: [
            1,
            count(usage.input_total_tokens.saturating_sub(cached)),
            count(usage.output_tokens),
            count(usage.cache_read_tokens),
            count(usage.cache_write_tokens),
            count(usage.reasoning_tokens.unwrap_or(0)),
            prices.cost(usage).map_or(0, |cost| cost.0),
            one.reported().map_or(0, |cost| cost.0),
        ],
    })
}

/// The accounts that some amounts stand in, with the clearing accounts against them.
pub(crate) fn nets(held: &[Held]) -> LedgerResult<Nets> {
    let mut nets = Nets::new();
    for Held { book, agent, session, model, amounts } in held {
        for ((unit, _), amount) in UNITS.iter().zip(amounts).filter(|(_, amount)| **amount != 0) {
            let used = AccountId::new(book, &format!("used:{agent}:{session}:{unit}:{model}"))?;
            let provider = AccountId::new(book, &format!("provider:{unit}"))?;
            for (account, amount) in [(used, *amount), (provider, -*amount)] {
                let net = nets.entry(account.clone()).or_insert(0);
                *net = net.checked_add(amount).ok_or(LedgerError::Overflow { account })?;
            }
        }
    }
    nets.retain(|_, net| *net != 0);
    Ok(nets)
}

/// The key of a request's n-th transaction: the name for the first, else `#n:` before it. No two are alike: where a name could be taken for another one's key of this form, or of the one in which
/// the number came behind (`<name>#n`), its first is written as the others are.
fn key_of(name: &str, number: u64) -> String {
    let is_plain = number == 1 && !name.is_empty() && !name.starts_with('#') && numbered_behind(name).is_none();
    if is_plain { name.to_owned() } else { format!("#{number}:{name}") }
}

/// The name and the number of `#n:<name>`.
fn numbered_before(key: &str) -> Option<(&str, u64)> {
    let (number, name) = key.strip_prefix('#')?.split_once(':')?;
    Some((name, number.parse().ok()?))
}

/// The name and the number of `<name>#n`, the key of adjustments that were posted first.
fn numbered_behind(key: &str) -> Option<(&str, u64)> {
    let (name, number) = key.rsplit_once('#')?;
    Some((name, number.parse().ok()?))
}

/// A draft of a use's n-th transaction, without postings.
pub(super) fn blank_draft(one: &Use, prices: &PriceTable, number: u64) -> Draft {
    // A request's name is the provider's, of whatever length: what is too long for a key is told by its hash.
    let is_key = one.request.len() <= NAME_BYTES_MAX;
    let name = if is_key {
        one.request.clone()
    } else {
        Sha256::digest(&one.request).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut draft = Draft::new(transaction_id(&one.request, number), key_of(&name, number), Vec::new());
    draft.effective_at = Some(one.at().saturating_mul(1000));
    let mut note = |name: &str, value: String| drop(draft.meta.insert(name.to_owned(), value));
    if let Some(project) = &one.project {
        note(META_PROJECT, project.chars().take(4096).collect());
    }
    if prices.cost(&one.usage).is_none() {
        note(META_UNPRICED, one.usage.model.as_deref().unwrap_or_default().chars().take(256).collect());
    }
    if !is_key {
        note(META_REQUEST, one.request.clone());
    }
    draft
}

/// What an event of a usage book says of a request, if it says anything.
pub(crate) fn line_of(event: &Event) -> Option<Line> {
    let EventBody::Transaction(draft) = &event.body else { return None };
    let (request, number) = request_of(draft)?;
    let mut changes: Vec<Held> = Vec::new();
    for posting in &draft.postings {
        let mut path = posting.account.path().splitn(5, ':');
        let ("used", Some(agent), Some(session), Some(unit), Some(model)) =
            (path.next()?, path.next(), path.next(), path.next(), path.next())
        else {
            continue;
        };
        let at = UNITS.iter().position(|(name, _)| *name == unit)?;
        let amount = if posting.side == Side::Debit { posting.amount } else { -posting.amount };
        let same = |held: &&mut Held| held.agent == agent && held.session == session && held.model == model;
        if let Some(held) = changes.iter_mut().find(same) {
            let sum = held.amounts.get_mut(at)?;
            *sum = sum.saturating_add(amount);
            continue;
        }
        let mut amounts = Amounts::default();
        *amounts.get_mut(at)? = amount;
        changes.push(Held {
            book: event.book.clone(),
            agent: agent.to_owned(),
            session: session.to_owned(),
            model: model.to_owned(),
            amounts,
        });
    }
    Some(Line {
        request,
        number,
        at: draft.effective_at.unwrap_or(event.at) / 1000,
        project: draft.meta.get(META_PROJECT).cloned(),
        unpriced: draft.meta.contains_key(META_UNPRICED),
        changes,
    })
}

/// The request that a transaction is of, and its number, which its id proves.
fn request_of(draft: &Draft) -> Option<(String, u64)> {
    let (key, named) = (draft.key.as_str(), draft.meta.get(META_REQUEST));
    [Some((key, 1)), numbered_before(key), numbered_behind(key)].into_iter().flatten().find_map(|(name, number)| {
        let request = named.map_or(name, String::as_str);
        (transaction_id(request, number) == draft.id).then(|| (request.to_owned(), number))
    })
}

impl Standing {
    /// Takes in one more transaction.
    pub(crate) fn apply(&mut self, line: &Line) {
        if line.number >= self.number {
            self.project.clone_from(&line.project);
            self.unpriced = line.unpriced;
        }
        self.at = if self.number == 0 { line.at } else { self.at.min(line.at) };
        self.number = self.number.max(line.number);
        for change in &line.changes {
            let same = |held: &&mut Held| {
                (&held.book, &held.agent, &held.session, &held.model)
                    == (&change.book, &change.agent, &change.session, &change.model)
            };
            match self.held.iter_mut().find(same) {
                Some(held) => {
                    for (sum, amount) in held.amounts.iter_mut().zip(change.amounts) {
                        *sum = sum.saturating_add(amount);
                    }
                }
                None => self.held.push(change.clone()),
            }
        }
        self.held.retain(|held| held.amounts != Amounts::default());
    }

    /// Whose it is.
    pub(crate) fn held(&self) -> &[Held] {
        &self.held
    }

    /// The use that the books say it is; `None` if they say nothing of it any more.
    pub(crate) fn to_use(&self, request: &str) -> Option<PricedUse> {
        let [requests, input, output, read, write, reasoning, usd, reported] = UNITS_OF;
        let held = self.held.iter().find(|held| held.amounts[requests] > 0)?;
        let count = |unit: usize| u64::try_from(held.amounts[unit]).unwrap_or_default();
        let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let reported = Some(NanoDollars(held.amounts[reported])).filter(|cost| cost.0 > 0);
        let usage = LlmUsage {
            ts: self.at,
            model: known(&held.model),
            input_total_tokens: count(input).saturating_add(count(read)).saturating_add(count(write)),
            cache_read_tokens: count(read),
            cache_write_tokens: count(write),
            output_tokens: count(output),
            reasoning_tokens: Some(count(reasoning)),
            cost: reported.map(|cost| cost.to_string()),
            ..LlmUsage::default()
        };
        let one = Use {
            request: request.to_owned(),
            session: held.session.parse().ok()?,
            agent: known(&held.agent),
            project: self.project.clone(),
            usage,
        };
        Some(PricedUse { one, listed: (!self.unpriced).then(|| NanoDollars(held.amounts[usd])), reported })
    }
}

/// The places of the units.
const UNITS_OF: [usize; UNITS.len()] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Every request that the books knew at a commit time (inclusive), with what they said that it cost; by name ascending.
///
/// # Errors
/// Those of the ledger.
pub fn uses_as_of(ledger: &dyn Ledger, as_of: TimestampUs) -> LedgerResult<Vec<PricedUse>> {
    let folded = Folded::read(ledger, Some(as_of))?;
    let mut uses: Vec<PricedUse> = folded.iter().filter_map(|(request, standing)| standing.to_use(request)).collect();
    uses.sort_by(|one, other| one.one.request.cmp(&other.one.request));
    Ok(uses)
}

/// All that the usage books say, in memory.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    read: BTreeMap<BookName, Seq>,
    standings: HashMap<String, Standing>,
}

impl Folded {
    /// What the books said at a commit time, or say now.
    pub(crate) fn read(ledger: &dyn Ledger, as_of: Option<TimestampUs>) -> LedgerResult<Self> {
        let mut folded = Self::default();
        folded.read_on(ledger, as_of)?;
        Ok(folded)
    }

    /// Takes in what the books say behind what it knows.
    pub(crate) fn read_on(&mut self, ledger: &dyn Ledger, as_of: Option<TimestampUs>) -> LedgerResult<()> {
        for book in ledger.list_books()?.into_iter().filter(is_usage_book) {
            let read = self.read.entry(book.clone()).or_insert(Seq::START);
            loop {
                let events = ledger.read_events(&book, read.next(), EVENTS_MAX)?;
                let Some(last) = events.last() else { break };
                *read = last.seq;
                for line in
                    events.iter().filter(|event| as_of.is_none_or(|as_of| event.at <= as_of)).filter_map(line_of)
                {
                    self.standings.entry(line.request.clone()).or_default().apply(&line);
                }
            }
        }
        Ok(())
    }

    /// What they say of a request.
    pub(crate) fn get(&self, request: &str) -> Option<&Standing> {
        self.standings.get(request)
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Standing)> {
        self.standings.iter()
    }
}
