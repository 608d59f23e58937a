//! What every ledger applies before it writes. Nothing here knows where events are kept.

use std::collections::BTreeMap;

use super::error::{Known, LedgerError, LedgerResult};
use super::names::{AccountId, AssetId, BookName};
use super::types::{Account, AccountKind, Asset, Draft, Posting, Side, TimestampUs};
use crate::call::KEY_BYTES_MAX;
use crate::id::Seq;

/// The finest that an asset may be counted.
pub const PRECISION_MAX: u8 = 18;
/// The most postings of a transaction.
pub const POSTINGS_MAX: usize = 1024;
/// The most bytes of what is remembered of a transaction beside its postings.
pub const META_BYTES_MAX: usize = 64 * 1024;

/// Whether an asset can be.
///
/// # Errors
/// `InvalidDefinition`.
pub fn check_asset(asset: &Asset) -> LedgerResult<()> {
    if asset.precision > PRECISION_MAX {
        return Err(LedgerError::InvalidDefinition { detail: format!("a precision is at most {PRECISION_MAX}") });
    }
    Ok(())
}

/// Whether an account can be.
///
/// # Errors
/// `ReservedBook`, which is looked at first; `InvalidDefinition`.
pub fn check_account(account: &Account) -> LedgerResult<()> {
    check_book(account.id.book())?;
    if account.min_balance.is_some() && account.kind.normal_side().is_none() {
        let detail = "a clearing account has no side on which a minimum could be".to_owned();
        return Err(LedgerError::InvalidDefinition { detail });
    }
    Ok(())
}

/// Whether others than the ledger may write to a book.
///
/// # Errors
/// `ReservedBook`.
pub fn check_book(book: &BookName) -> LedgerResult<()> {
    if book.is_reserved() { Err(LedgerError::ReservedBook { book: book.clone() }) } else { Ok(()) }
}

/// Whether a transaction can be, whatever its accounts hold.
///
/// # Errors
/// `InvalidTransaction`.
pub fn check_draft(book: &BookName, draft: &Draft) -> LedgerResult<()> {
    let wrong = if draft.key.is_empty() || draft.key.len() > KEY_BYTES_MAX {
        Some(format!("a key has 1 to {KEY_BYTES_MAX} bytes"))
    } else if draft.postings.is_empty() || draft.postings.len() > POSTINGS_MAX {
        Some(format!("a transaction has 1 to {POSTINGS_MAX} postings"))
    } else if draft.meta.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > META_BYTES_MAX {
        Some(format!("what is remembered of a transaction has at most {META_BYTES_MAX} bytes"))
    } else if let Some(posting) = draft.postings.iter().find(|posting| posting.amount < 1) {
        Some(format!("{} is no amount", posting.amount))
    } else {
        let other = draft.postings.iter().find(|posting| posting.account.book() != book);
        other.map(|posting| format!("{} is in another book than {book}", posting.account))
    };
    wrong.map_or(Ok(()), |detail| Err(LedgerError::InvalidTransaction { detail }))
}

/// What a repeated definition answers.
///
/// # Errors
/// `AlreadyExists` if it is another one.
pub fn check_same_asset(known: &Asset, asset: &Asset) -> LedgerResult<()> {
    if known == asset {
        return Ok(());
    }
    Err(LedgerError::AlreadyExists { what: Known::Asset(asset.id.clone()) })
}

/// What a repeated opening answers.
///
/// # Errors
/// `AlreadyExists` if it is another one.
pub fn check_same_account(known: &Account, account: &Account) -> LedgerResult<()> {
    if known == account {
        return Ok(());
    }
    Err(LedgerError::AlreadyExists { what: Known::Account(account.id.clone()) })
}

/// What a repeated key answers: the first transaction stands if the postings are the same, in the same order. Its id and what else
/// was remembered of it are not compared, because who tries again may have made them anew.
///
/// # Errors
/// `KeyReused`.
pub fn check_same_postings(key: &str, seq: Seq, known: &[Posting], postings: &[Posting]) -> LedgerResult<()> {
    if known == postings { Ok(()) } else { Err(LedgerError::KeyReused { key: key.to_owned(), seq }) }
}

/// The commit time of an event: never before the one in front of it.
pub fn commit_time(now: TimestampUs, last: TimestampUs) -> TimestampUs {
    now.max(last)
}

/// What is known of an account when a transaction is judged.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What it counts.
    pub asset: AssetId,
    /// What it stands for.
    pub kind: AccountKind,
    /// The least that it may hold.
    pub min_balance: Option<i64>,
    /// Its debits minus its credits.
    pub net: i64,
}

/// What a transaction makes of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The account.
    pub account: AccountId,
    /// Its debits minus its credits afterwards.
    pub net: i64,
}

/// Judges a draft that [`check_draft`] let pass: what it makes of its accounts, in the order in which they are named first.
///
/// # Errors
/// In this order: `UnknownAccount`, `Unbalanced`, `Overflow`, `BelowMinimum`; those of `find`.
pub fn judge(
    draft: &Draft,
    mut find: impl FnMut(&AccountId) -> LedgerResult<Option<Standing>>,
) -> LedgerResult<Vec<Change>> {
    let mut touched: Vec<(&AccountId, Standing, i128)> = Vec::with_capacity(draft.postings.len());
    for posting in &draft.postings {
        let at = touched.iter().position(|(account, ..)| **account == posting.account);
        let at = match at {
            Some(at) => at,
            None => {
                let standing = find(&posting.account)?
                    .ok_or_else(|| LedgerError::UnknownAccount { account: posting.account.clone() })?;
                touched.push((&posting.account, standing, 0));
                touched.len() - 1
            }
        };
        touched[at].2 += signed(posting);
    }
    check_balanced(draft, &touched)?;
    let mut changes = Vec::with_capacity(touched.len());
    for (account, standing, delta) in &touched {
        let net = i64::try_from(i128::from(standing.net) + delta).ok().filter(|net| *net != i64::MIN);
        let net = net.ok_or_else(|| LedgerError::Overflow { account: (*account).clone() })?;
        changes.push(Change { account: (*account).clone(), net });
    }
    for (change, (_, standing, _)) in changes.iter().zip(&touched) {
        let balance = standing.kind.balance(change.net);
        if let Some(min_balance) = standing.min_balance.filter(|min_balance| balance < *min_balance) {
            return Err(LedgerError::BelowMinimum { account: change.account.clone(), balance, min_balance });
        }
    }
    Ok(changes)
}

fn check_balanced(draft: &Draft, touched: &[(&AccountId, Standing, i128)]) -> LedgerResult<()> {
    // Two postings of one asset, as nearly all transactions have, need no table.
    if touched.iter().all(|(_, standing, _)| standing.asset == touched[0].1.asset)
        && touched.iter().map(|(_, _, delta)| delta).sum::<i128>() == 0
    {
        return Ok(());
    }
    let mut sums: BTreeMap<&AssetId, (i128, i128)> = BTreeMap::new();
    for posting in &draft.postings {
        let Some((_, standing, _)) = touched.iter().find(|(account, ..)| **account == posting.account) else {
            continue;
        };
        let (debits, credits) = sums.entry(&standing.asset).or_default();
        match posting.side {
            Side::Debit => *debits += i128::from(posting.amount),
            Side::Credit => *credits += i128::from(posting.amount),
        }
    }
    match sums.into_iter().find(|(_, (debits, credits))| debits != credits) {
        Some((asset, (debits, credits))) => Err(LedgerError::Unbalanced { asset: asset.clone(), debits, credits }),
        None => Ok(()),
    }
}

/// The amount as a debit counts.
fn signed(posting: &Posting) -> i128 {
    match posting.side {
        Side::Debit => i128::from(posting.amount),
        Side::Credit => -i128::from(posting.amount),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::TransactionId;

    fn account(n: usize) -> AccountId {
        AccountId::new(&"book".parse().unwrap(), &format!("a{n}")).unwrap()
    }

    proptest! {
        /// Whatever is accepted moves as much as it takes, asset by asset, and what is refused as unbalanced does not.
        #[test]
        fn what_is_accepted_is_balanced_in_every_asset(
            lines in proptest::collection::vec((0_usize..4, any::<bool>(), 1_i64..6), 1..8),
        ) {
            let postings = lines.iter().map(|(n, debit, amount)| Posting {
                account: account(*n),
                side: if *debit { Side::Debit } else { Side::Credit },
                amount: *amount,
            }).collect();
            let draft = Draft::new(TransactionId::derive(1, b"t"), "k", postings);
            let asset = |id: &AccountId| if id.path() < "a2" { "X" } else { "Y" };
            let judged = judge(&draft, |id| Ok(Some(Standing {
                asset: asset(id).parse().unwrap(),
                kind: AccountKind::Clearing,
                min_balance: None,
                net: 0,
            })));
            let net = |name: &str| draft.postings.iter().filter(|p| asset(&p.account) == name).map(signed).sum::<i128>();
            let balanced = net("X") == 0 && net("Y") == 0;
            match judged {
                Ok(changes) => {
                    prop_assert!(balanced);
                    prop_assert_eq!(changes.iter().map(|change| change.net).sum::<i64>(), 0);
                }
                Err(LedgerError::Unbalanced { asset, debits, credits }) => {
                    prop_assert!(!balanced);
                    prop_assert_eq!(debits - credits, net(asset.as_str()));
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}
