//! Posting uses to the ledger: a book for each project, accounts for each agent, session, model and unit.
//!
//! A use is one transaction, whose key is the request's name. One that grew since, changed its owner or its price is set right by further transactions, `#2:<request>` and so
//! on, which post the difference. So posting is a matter of what the books should say: doing it again, in another order, after a fork, or in two processes at once, changes nothing. Who posts has to know
//! what the books say ([`Known`]); where that turns out to be out of date, a number is taken already, and the books are read on and looked at again.
//!
//! Accounts are `used:<agent>:<session>:<unit>:<model>`, with the model last because nobody knows what its name holds, and against them one clearing account for each unit,
//! `provider:<unit>`.
//!
//! Transactions are committed in batches, and accounts are opened by several threads at once, because both wait for a sync that they can share. The price is that some thousand uses are held
//! as drafts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use store_core::StoreError;
use store_core::ledger::{
    Account, AccountId, AccountKind, Asset, AssetId, BookName, Draft, Ledger, LedgerError, LedgerResult, Posting, Side,
};

use super::Use;
use super::prices::PriceTable;
use super::standing::{Folded, REQUEST_BYTES_MAX, Standing, UNITS, blank_draft, nets, wanted};

/// How often uses are posted anew because somebody else posts them too.
const TRIES_MAX: usize = 16;
/// How many uses are looked at together.
const USES_MAX: usize = 2048;
/// How many transactions share a sync at most.
const BATCH_MAX: usize = 2048;
/// How many accounts are opened at once.
const OPENERS_MAX: usize = 32;

/// What posting came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Uses that were not in the books.
    pub new: u64,
    /// Uses that were set right.
    pub adjusted: u64,
    /// Uses that the books knew as they are.
    pub unchanged: u64,
    /// Uses that the books cannot hold, because an account would count more than can be counted, or their name is longer than 32 KiB.
    pub refused: u64,
}

/// What is known of the books.
pub(crate) trait Known {
    /// Why it cannot be known.
    type Error: From<LedgerError>;

    /// Takes in what they say by now.
    fn follow(&mut self, ledger: &dyn Ledger) -> Result<(), Self::Error>;

    /// What they say of a request.
    fn standing(&mut self, request: &str) -> Result<Standing, Self::Error>;
}

impl Known for Folded {
    type Error = LedgerError;

    fn follow(&mut self, ledger: &dyn Ledger) -> LedgerResult<()> {
        self.read_on(ledger, None)
    }

    fn standing(&mut self, request: &str) -> LedgerResult<Standing> {
        Ok(self.get(request).cloned().unwrap_or_default())
    }
}

/// Sees to it that the books say what these uses are, each once. The usage books are read first, whole; who keeps an index feeds from there instead.
///
/// # Errors
/// Those of the ledger. What was posted by then stays, and posting again goes on from there.
pub fn post(ledger: &dyn Ledger, prices: &PriceTable, uses: &[Use]) -> LedgerResult<Posted> {
    bring_in_step(ledger, prices, uses, &mut Folded::default(), &mut |_| {})
}

/// Sees to it that the books say what these uses are, for who knows what they say. Tells how many are done, again and again.
pub(crate) fn bring_in_step<K: Known>(
    ledger: &dyn Ledger,
    prices: &PriceTable,
    uses: &[Use],
    known: &mut K,
    progress: &mut dyn FnMut(u64),
) -> Result<Posted, K::Error> {
    let mut posted = Posted::default();
    let mut accounts = Accounts::default();
    // By book, so that a batch is of few of them.
    let mut order: Vec<&Use> = uses.iter().collect();
    order.sort_by(|one, other| (&one.project, &one.request).cmp(&(&other.project, &other.request)));
    known.follow(ledger)?;
    let mut done = 0;
    for some in order.chunks(USES_MAX) {
        for fate in bring_some(ledger, prices, some, known, &mut accounts)? {
            match fate {
                Fate::New => posted.new += 1,
                Fate::Adjusted => posted.adjusted += 1,
                Fate::Unchanged => posted.unchanged += 1,
                Fate::Refused => posted.refused += 1,
            }
        }
        done += some.len() as u64;
        progress(done);
    }
    Ok(posted)
}

/// What became of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    New,
    Adjusted,
    Unchanged,
    Refused,
}

/// What became of each of some uses, as the ledger answered.
fn bring_some<K: Known>(
    ledger: &dyn Ledger,
    prices: &PriceTable,
    uses: &[&Use],
    known: &mut K,
    accounts: &mut Accounts,
) -> Result<Vec<Fate>, K::Error> {
    let mut fates = vec![None; uses.len()];
    for _ in 0..TRIES_MAX {
        let batches = plan_all(prices, uses, known, &mut fates)?;
        if !batches.is_empty() {
            for (at, fate) in commit_all(ledger, &batches, accounts)? {
                fates[at] = fate;
            }
            known.follow(ledger)?;
        }
        if let Some(fates) = fates.iter().copied().collect() {
            return Ok(fates);
        }
    }
    let holder = "others who post the same uses".to_owned();
    Err(LedgerError::from(StoreError::Busy { holder, host: None, since: None }).into())
}

/// The transactions that go into a book together, each with the place of its use and what becomes of that if it is committed.
#[derive(Default)]
struct Batch {
    drafts: Vec<Draft>,
    of: Vec<(usize, Fate)>,
}

type Batches = BTreeMap<BookName, Batch>;

/// The transactions that those uses want whose fate is not known, by book.
fn plan_all<K: Known>(
    prices: &PriceTable,
    uses: &[&Use],
    known: &mut K,
    fates: &mut [Option<Fate>],
) -> Result<Batches, K::Error> {
    let mut batches = Batches::new();
    for (at, (one, fate)) in uses.iter().zip(fates).enumerate().filter(|(_, (_, fate))| fate.is_none()) {
        // Whose name no transaction can tell would not be known again.
        if one.request.len() > REQUEST_BYTES_MAX {
            *fate = Some(Fate::Refused);
            continue;
        }
        let standing = known.standing(&one.request)?;
        let drafts = plan(one, prices, &standing)?;
        if drafts.is_empty() {
            *fate = Some(Fate::Unchanged);
        }
        let then = if standing.number == 0 { Fate::New } else { Fate::Adjusted };
        for (book, draft) in drafts {
            let batch = batches.entry(book).or_default();
            batch.drafts.push(draft);
            batch.of.push((at, then));
        }
    }
    Ok(batches)
}

/// The transactions that make books which say this of a use say what it is; none if they do.
fn plan(one: &Use, prices: &PriceTable, standing: &Standing) -> LedgerResult<Vec<(BookName, Draft)>> {
    let wanted = [wanted(one, prices)?];
    if standing.held() == wanted {
        return Ok(Vec::new());
    }
    let (wanted, known) = (nets(&wanted)?, nets(standing.held())?);
    let mut changes: BTreeMap<&BookName, Vec<Posting>> = BTreeMap::new();
    for account in wanted.keys().chain(known.keys()).collect::<BTreeSet<_>>() {
        let net = |nets: &super::standing::Nets| nets.get(account).copied().unwrap_or(0);
        let change = net(&wanted).saturating_sub(net(&known));
        if change != 0 {
            let side = if change > 0 { Side::Debit } else { Side::Credit };
            let posting = Posting { account: account.clone(), side, amount: change.saturating_abs() };
            changes.entry(account.book()).or_default().push(posting);
        }
    }
    let mut drafts = Vec::new();
    for (number, (book, postings)) in (standing.number + 1..).zip(changes) {
        drafts.push((book.clone(), Draft { postings, ..blank_draft(one, prices, number) }));
    }
    Ok(drafts)
}

/// Commits, and tells what became of each use; `None` where somebody else took the number of a transaction meanwhile, and it has to be looked at again.
fn commit_all(
    ledger: &dyn Ledger,
    batches: &Batches,
    accounts: &mut Accounts,
) -> LedgerResult<HashMap<usize, Option<Fate>>> {
    let mut fates = HashMap::new();
    for (book, Batch { drafts, of }) in batches {
        accounts.open(ledger, book, drafts)?;
        for (drafts, of) in drafts.chunks(BATCH_MAX).zip(of.chunks(BATCH_MAX)) {
            for ((draft, (at, then)), answer) in drafts.iter().zip(of).zip(ledger.commit_batch(book, drafts)?) {
                let fate = match answer {
                    Ok(receipt) if receipt.id == draft.id => Some(*then),
                    // The same postings under the same key are not the same use's if another id did them.
                    Ok(_) | Err(LedgerError::AlreadyExists { .. } | LedgerError::KeyReused { .. }) => None,
                    // One use that cannot be counted keeps no other from the books.
                    Err(LedgerError::Overflow { .. }) => Some(Fate::Refused),
                    Err(error) => return Err(error),
                };
                let known = fates.entry(*at).or_insert(fate);
                // Of several transactions of a use the worst says what became of it.
                if known.is_some() && (fate.is_none() || fate == Some(Fate::Refused)) {
                    *known = fate;
                }
            }
        }
    }
    Ok(fates)
}

/// The accounts that are known to be open, by book.
#[derive(Default)]
struct Accounts {
    has_assets: bool,
    open: HashMap<BookName, HashSet<AccountId>>,
}

impl Accounts {
    /// Opens the accounts that drafts post to, where they are not.
    fn open(&mut self, ledger: &dyn Ledger, book: &BookName, drafts: &[Draft]) -> LedgerResult<()> {
        if !self.has_assets {
            for (unit, precision) in UNITS {
                ledger.register_asset(&Asset { id: unit.parse()?, precision })?;
            }
            self.has_assets = true;
        }
        let known = match self.open.entry(book.clone()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(ledger.list_accounts(book)?.into_iter().map(|account| account.id).collect())
            }
        };
        let posted_to = drafts.iter().flat_map(|draft| &draft.postings).map(|posting| &posting.account);
        let missing: BTreeSet<&AccountId> = posted_to.filter(|account| !known.contains(*account)).collect();
        let missing = missing.into_iter().map(account_of).collect::<LedgerResult<Vec<_>>>()?;
        open_all(ledger, &missing)?;
        known.extend(missing.into_iter().map(|account| account.id));
        Ok(())
    }
}

/// Opens accounts, several at a time: each waits for a sync, and those who wait at once share it.
fn open_all(ledger: &dyn Ledger, accounts: &[Account]) -> LedgerResult<()> {
    let Some((first, rest)) = accounts.split_first() else { return Ok(()) };
    // With its first account a book comes into being.
    ledger.open_account(first)?;
    let next = AtomicUsize::new(0);
    let work = || -> LedgerResult<()> {
        while let Some(account) = rest.get(next.fetch_add(1, Ordering::Relaxed)) {
            ledger.open_account(account)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..rest.len().min(OPENERS_MAX)).map(|_| scope.spawn(work)).collect();
        let mut outcome = work();
        for other in others {
            // A thread of ours that panicked is a broken program.
            outcome = outcome.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        outcome
    })
}

/// An account of a usage book, as it is opened.
fn account_of(id: &AccountId) -> LedgerResult<Account> {
    let mut parts = id.path().split(':');
    let (kind, unit) = match (parts.next(), parts.next()) {
        (Some("provider"), Some(unit)) => (AccountKind::Clearing, unit),
        _ => (AccountKind::Expense, parts.nth(1).unwrap_or_default()),
    };
    let asset: AssetId = unit.parse()?;
    Ok(Account { id: id.clone(), asset, kind, min_balance: None })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store_core::ledger::{MemoryLedger, MemoryLedgerMedium};
    use store_core::{LlmUsage, Seq, SessionId};

    use super::super::standing::{transaction_id, usage_book};
    use super::*;

    fn ledger() -> MemoryLedger {
        MemoryLedger::open(&MemoryLedgerMedium::default(), Arc::new(|| 1_764_000_000_000_000))
    }

    fn one(n: u64, output: u64) -> Use {
        Use {
            request: format!("r:{n}"),
            session: SessionId::derive(n, b"s"),
            agent: Some("claude".to_owned()),
            project: Some("/work".to_owned()),
            usage: LlmUsage {
                ts: 1_763_900_000_000,
                model: Some("gpt-5".to_owned()),
                input_total_tokens: 1000,
                output_tokens: output,
                cost: Some("0.5".to_owned()),
                ..LlmUsage::default()
            },
        }
    }

    /// What the books of two projects hold of each unit, over all accounts.
    fn totals(ledger: &dyn Ledger) -> Vec<(String, i128)> {
        let mut sums = BTreeMap::new();
        for project in ["/work", "/elsewhere"] {
            for row in ledger.trial_balance(&usage_book(Some(project)).unwrap(), None).unwrap() {
                assert_eq!(row.debit, row.credit);
                *sums.entry(row.asset.to_string()).or_insert(0) += row.debit;
            }
        }
        sums.into_iter().filter(|(_, sum)| *sum > 0).collect()
    }

    fn expected(requests: i128, output: i128) -> Vec<(String, i128)> {
        let usd = requests * 1_250_000 + output * 10_000;
        [
            ("input_tokens", 1000 * requests),
            ("output_tokens", output),
            ("reported_usd", 500_000_000 * requests),
            ("requests", requests),
            ("usd", usd),
        ]
        .map(|(unit, sum)| (unit.to_owned(), sum))
        .to_vec()
    }

    #[test]
    fn uses_are_posted_once_in_whatever_order_and_however_often() {
        let prices = PriceTable::shipped().unwrap();
        let uses: Vec<Use> = (1..=6).map(|n| one(n, 10 * n)).collect();
        let ledger = ledger();
        assert_eq!(post(&ledger, &prices, &uses).unwrap(), Posted { new: 6, ..Posted::default() });
        let backwards: Vec<Use> = uses.iter().rev().cloned().collect();
        assert_eq!(post(&ledger, &prices, &backwards).unwrap(), Posted { unchanged: 6, ..Posted::default() });
        assert_eq!(totals(&ledger), expected(6, 210));
    }

    #[test]
    fn a_use_that_grew_is_adjusted_by_the_difference() {
        let prices = PriceTable::shipped().unwrap();
        let ledger = ledger();
        post(&ledger, &prices, &[one(1, 10)]).unwrap();
        assert_eq!(post(&ledger, &prices, &[one(1, 35)]).unwrap(), Posted { adjusted: 1, ..Posted::default() });
        assert_eq!(totals(&ledger), expected(1, 35));
        let book = usage_book(Some("/work")).unwrap();
        let second = ledger.transaction(transaction_id("r:1", 2)).unwrap().unwrap();
        assert_eq!((second.draft.key.as_str(), &second.book), ("#2:r:1", &book));
        assert_eq!(post(&ledger, &prices, &[one(1, 35)]).unwrap().unchanged, 1);
    }

    #[test]
    fn a_use_that_changes_its_owner_leaves_nothing_with_the_one_before() {
        let prices = PriceTable::shipped().unwrap();
        let ledger = ledger();
        post(&ledger, &prices, &[one(1, 10)]).unwrap();
        let moved = Use { session: SessionId::derive(9, b"s"), project: Some("/elsewhere".to_owned()), ..one(1, 10) };
        assert_eq!(post(&ledger, &prices, std::slice::from_ref(&moved)).unwrap().adjusted, 1);
        assert_eq!(totals(&ledger), expected(1, 10));
        let work = usage_book(Some("/work")).unwrap();
        assert!(ledger.trial_balance(&work, None).unwrap().iter().all(|row| row.debit == 0));
        assert_eq!(post(&ledger, &prices, &[moved]).unwrap().unchanged, 1);
        assert_eq!(post(&ledger, &prices, &[one(1, 10)]).unwrap().adjusted, 1, "and back again");
        assert_eq!(totals(&ledger), expected(1, 10));
    }

    #[test]
    fn what_has_no_price_is_said_to_have_none() {
        let prices = PriceTable::default();
        let ledger = ledger();
        post(&ledger, &prices, &[one(1, 10)]).unwrap();
        let found = ledger.transaction(transaction_id("r:1", 1)).unwrap().unwrap();
        assert_eq!(found.draft.meta.get("unpriced").map(String::as_str), Some("gpt-5"));
        assert!(totals(&ledger).iter().all(|(unit, _)| unit != "usd"));
        assert_eq!(found.draft.effective_at, Some(1_763_900_000_000_000));
        // A price that becomes known is posted to what stands there.
        assert_eq!(post(&ledger, &PriceTable::shipped().unwrap(), &[one(1, 10)]).unwrap().adjusted, 1);
        assert_eq!(totals(&ledger), expected(1, 10));
    }

    #[test]
    fn names_that_hold_anything_are_posted() {
        let ledger = ledger();
        let mut odd = one(1, 10);
        odd.request = "r:\n".repeat(700);
        odd.agent = Some("a:b\nc".to_owned());
        odd.usage.model = Some("x:y/z \u{0} é".repeat(40));
        odd.project = None;
        assert_eq!(post(&ledger, &PriceTable::default(), std::slice::from_ref(&odd)).unwrap().new, 1);
        assert_eq!(post(&ledger, &PriceTable::default(), &[odd]).unwrap().unchanged, 1);
        let book = usage_book(None).unwrap();
        assert!(!ledger.read_events(&book, Seq(1), 99).unwrap().is_empty());
    }

    #[test]
    fn names_of_requests_are_told_apart_whatever_they_hold() {
        let ledger = ledger();
        let long = "x".repeat(5000);
        let names = ["r:X", "r:X#2", "r:X#2#2", "#2:r:X", "#1:r:X", "#2:#2:r:X", "r:", "", &long, &long[1..]];
        let all = names.len() as u64;
        for output in [10, 20, 30] {
            let uses: Vec<Use> =
                names.iter().map(|name| Use { request: (*name).to_owned(), ..one(1, output) }).collect();
            let posted = post(&ledger, &PriceTable::default(), &uses).unwrap();
            let (new, adjusted) = if output == 10 { (all, 0) } else { (0, all) };
            assert_eq!(posted, Posted { new, adjusted, ..Posted::default() });
            assert!(totals(&ledger).contains(&("output_tokens".to_owned(), i128::from(output * all))));
            let again = post(&ledger, &PriceTable::default(), &uses).unwrap();
            assert_eq!(again, Posted { unchanged: all, ..Posted::default() });
        }
        let endless = Use { request: "x".repeat(REQUEST_BYTES_MAX + 1), ..one(1, 1) };
        assert_eq!(post(&ledger, &PriceTable::default(), &[endless]).unwrap().refused, 1);
    }

    #[test]
    fn adjustments_that_were_numbered_behind_are_known_still() {
        let prices = PriceTable::default();
        let ledger = ledger();
        post(&ledger, &prices, &[one(1, 10)]).unwrap();
        let (book, folded) = (usage_book(Some("/work")).unwrap(), Folded::read(&ledger, None).unwrap());
        let (_, mut second) = plan(&one(1, 15), &prices, folded.get("r:1").unwrap()).unwrap().remove(0);
        second.key = "r:1#2".to_owned();
        ledger.commit(&book, &second).unwrap();
        assert_eq!(post(&ledger, &prices, &[one(1, 15)]).unwrap(), Posted { unchanged: 1, ..Posted::default() });
        // Another request may have the name that was a key.
        let named = Use { request: "r:1#2".to_owned(), ..one(1, 15) };
        assert_eq!(
            post(&ledger, &prices, &[named, one(1, 20)]).unwrap(),
            Posted { new: 1, adjusted: 1, ..Posted::default() }
        );
        assert!(totals(&ledger).contains(&("output_tokens".to_owned(), 35)));
    }

    #[test]
    fn what_cannot_be_counted_is_told_as_refused_and_as_nothing_else() {
        let ledger = ledger();
        let dear = |n: u64| {
            let mut dear = one(n, 1);
            dear.session = SessionId::derive(1, b"s");
            dear.usage.cost = Some("9000000000".to_owned());
            dear
        };
        let posted = post(&ledger, &PriceTable::default(), &[dear(1), dear(2), one(3, 1)]).unwrap();
        assert_eq!(posted, Posted { new: 2, refused: 1, ..Posted::default() });
    }
}
