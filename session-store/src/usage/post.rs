//! Posting uses to the ledger: a book for each project, accounts for each agent, session, model and unit.
//!
//! A use is one transaction, whose key is the request's name. One that grew since, changed its owner or its price is set right by further transactions, `<request>#2` and so
//! on, which post the difference. So posting is a matter of what the books should say: doing it again, in another order, or after a fork, changes nothing.
//!
//! Accounts are `used:<agent>:<session>:<unit>:<model>`, with the model last because nobody knows what its name holds, and against them one clearing account for each unit,
//! `provider:<unit>`.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use store_core::TransactionId;
use store_core::ledger::{
    Account, AccountId, AccountKind, Asset, AssetId, BookName, Draft, Ledger, LedgerError, LedgerResult, Posting, Side,
};

use super::Use;
use super::prices::PriceTable;

/// How often a use is posted anew because somebody else posts it too.
const TRIES_MAX: usize = 16;
/// What the books count: the name of the asset, and how many decimals it has.
// Persisted: never rename.
const UNITS: [(&str, u8); 8] = [
    ("requests", 0),
    ("input_tokens", 0),
    ("output_tokens", 0),
    ("cache_read_tokens", 0),
    ("cache_write_tokens", 0),
    ("reasoning_tokens", 0),
    ("usd", 9),
    ("reported_usd", 9),
];

/// What posting came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Uses that were not in the books.
    pub new: u64,
    /// Uses that were set right.
    pub adjusted: u64,
    /// Uses that the books knew as they are.
    pub unchanged: u64,
}

/// The book of a project: `usage-` and the first 32 digits of its SHA-256.
///
/// # Errors
/// None: that is always a name.
pub fn usage_book(project: Option<&str>) -> LedgerResult<BookName> {
    let digest = Sha256::digest(project.unwrap_or_default());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("usage-{hex}").parse()
}

/// Sees to it that the books say what these uses are, each once.
///
/// # Errors
/// Those of the ledger. What was posted by then stays, and posting again goes on from there.
pub fn post(ledger: &dyn Ledger, prices: &PriceTable, uses: &[Use]) -> LedgerResult<Posted> {
    for (unit, precision) in UNITS {
        ledger.register_asset(&Asset { id: unit.parse()?, precision })?;
    }
    let mut posted = Posted::default();
    for one in uses {
        match post_one(ledger, prices, one)? {
            0 => posted.unchanged += 1,
            1 => posted.new += 1,
            _ => posted.adjusted += 1,
        }
    }
    Ok(posted)
}

/// What the books are to say of a use, or say: the net of each account.
type Nets = BTreeMap<AccountId, i64>;

/// Posts a use: 0 if the books knew it, 1 if it is new to them, else 2.
fn post_one(ledger: &dyn Ledger, prices: &PriceTable, one: &Use) -> LedgerResult<u8> {
    for _ in 0..TRIES_MAX {
        let (known, posted) = standing(ledger, one)?;
        let wanted = nets_of(one, prices)?;
        let mut changes: BTreeMap<BookName, Vec<(AccountId, i64)>> = BTreeMap::new();
        let accounts = wanted.keys().chain(known.keys()).cloned().collect::<std::collections::BTreeSet<_>>();
        for account in accounts {
            let net = |nets: &Nets| nets.get(&account).copied().unwrap_or(0);
            let change = net(&wanted) - net(&known);
            if change != 0 {
                changes.entry(account.book().clone()).or_default().push((account, change));
            }
        }
        if changes.is_empty() {
            return Ok(0);
        }
        let mut number = posted;
        let mut collided = false;
        for (book, changes) in changes {
            number += 1;
            match commit(ledger, &book, &draft(one, prices, number, &changes)?) {
                Ok(()) => {}
                // Somebody else posted it meanwhile: the books are looked at again.
                Err(LedgerError::AlreadyExists { .. } | LedgerError::KeyReused { .. }) => {
                    collided = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if !collided {
            return Ok(if posted == 0 { 1 } else { 2 });
        }
    }
    Err(store_core::StoreError::Busy { holder: "others who post the same use".to_owned(), host: None, since: None }
        .into())
}

/// The n-th transaction of a use.
fn transaction_id(one: &Use, number: u64) -> TransactionId {
    TransactionId::derive(0, format!("usage\n{}\n{number}", one.request).as_bytes())
}

/// What the books say of a use, and in how many transactions.
fn standing(ledger: &dyn Ledger, one: &Use) -> LedgerResult<(Nets, u64)> {
    let (mut nets, mut number) = (Nets::new(), 0);
    while let Some(found) = ledger.transaction(transaction_id(one, number + 1))? {
        number += 1;
        for posting in found.draft.postings {
            let amount = if posting.side == Side::Debit { posting.amount } else { -posting.amount };
            *nets.entry(posting.account).or_default() += amount;
        }
    }
    Ok((nets, number))
}

fn nets_of(one: &Use, prices: &PriceTable) -> LedgerResult<Nets> {
    let book = usage_book(one.project.as_deref())?;
    let usage = &one.usage;
    let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let amounts = [
        1,
        count(usage.input_total_tokens.saturating_sub(cached)),
        count(usage.output_tokens),
        count(usage.cache_read_tokens),
        count(usage.cache_write_tokens),
        count(usage.reasoning_tokens.unwrap_or(0)),
        prices.cost(usage).map_or(0, |cost| cost.0),
        one.reported().map_or(0, |cost| cost.0),
    ];
    let mut nets = Nets::new();
    for ((unit, _), amount) in UNITS.iter().zip(amounts).filter(|(_, amount)| *amount > 0) {
        nets.insert(used(&book, one, unit)?, amount);
        nets.insert(AccountId::new(&book, &format!("provider:{unit}"))?, -amount);
    }
    Ok(nets)
}

/// The account that a use's unit is debited to. What no path can hold is left out of names.
fn used(book: &BookName, one: &Use, unit: &str) -> LedgerResult<AccountId> {
    let plain = |text: Option<&str>| {
        let text = text.unwrap_or_default().chars().filter(|c| !c.is_control());
        text.take(64).collect::<String>()
    };
    let agent = plain(one.agent.as_deref()).replace(':', "_");
    let model = plain(one.usage.model.as_deref());
    AccountId::new(book, &format!("used:{agent}:{}:{unit}:{model}", one.session))
}

fn draft(one: &Use, prices: &PriceTable, number: u64, changes: &[(AccountId, i64)]) -> LedgerResult<Draft> {
    let posting = |(account, change): &(AccountId, i64)| {
        let side = if *change > 0 { Side::Debit } else { Side::Credit };
        Posting { account: account.clone(), side, amount: change.saturating_abs() }
    };
    // A request's name is the provider's, of whatever length: what is too long for a key is told by its hash.
    let name = if one.request.len() <= 900 {
        one.request.clone()
    } else {
        Sha256::digest(&one.request).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let key = if number == 1 { name } else { format!("{name}#{number}") };
    let mut draft = Draft::new(transaction_id(one, number), key, changes.iter().map(posting).collect());
    draft.effective_at = Some(one.at().saturating_mul(1000));
    if let Some(project) = &one.project {
        draft.meta.insert("project".to_owned(), project.chars().take(4096).collect());
    }
    if prices.cost(&one.usage).is_none() {
        draft
            .meta
            .insert("unpriced".to_owned(), one.usage.model.as_deref().unwrap_or_default().chars().take(256).collect());
    }
    Ok(draft)
}

/// Commits a draft, whose accounts are opened where they are not.
fn commit(ledger: &dyn Ledger, book: &BookName, draft: &Draft) -> LedgerResult<()> {
    match ledger.commit(book, draft) {
        Err(LedgerError::UnknownAccount { .. }) => {}
        answer => return answer.map(drop),
    }
    for posting in &draft.postings {
        let (kind, unit) = kind_of(posting.account.path());
        let asset: AssetId = unit.parse()?;
        ledger.open_account(&Account { id: posting.account.clone(), asset, kind, min_balance: None })?;
    }
    ledger.commit(book, draft).map(drop)
}

/// What an account of a usage book stands for, and the unit that it counts.
fn kind_of(path: &str) -> (AccountKind, &str) {
    let mut parts = path.split(':');
    match (parts.next(), parts.next()) {
        (Some("provider"), Some(unit)) => (AccountKind::Clearing, unit),
        _ => (AccountKind::Expense, parts.nth(1).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store_core::ledger::{MemoryLedger, MemoryLedgerMedium};
    use store_core::{LlmUsage, Seq, SessionId};

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
        let second = ledger.transaction(transaction_id(&one(1, 0), 2)).unwrap().unwrap();
        assert_eq!((second.draft.key.as_str(), &second.book), ("r:1#2", &book));
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
        let found = ledger.transaction(transaction_id(&one(1, 0), 1)).unwrap().unwrap();
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
}
