//! What a ledger promises.

use super::error::LedgerResult;
use super::names::{AccountId, AssetId, BookName};
use super::repair::LedgerRepair;
use super::subscription::Subscription;
use super::types::{Account, Asset, Balance, Draft, Event, HistoryRow, Receipt, TimestampUs, Transaction, TrialRow};
use super::verify::LedgerFinding;
use crate::id::{Seq, TransactionId};
use crate::integrity::MaintenanceOptions;

/// A double-entry ledger of several assets, in books that only grow.
///
/// **Events.** Everything that is written is an [`Event`] of a book, numbered from 1 without gaps, in the order in which it took effect. What
/// the other calls answer is a fold of events.
///
/// **Durability.** A call that wrote returns when what it wrote is on stable storage, and nothing is visible before that, to nobody. Calls
/// of many threads share syncs. After a sync of a book failed, its handle answers every further write to it with `BookClosed`; what was
/// visible stays so.
///
/// **Time.** `as_of` is inclusive: everything that was committed at that microsecond or before it counts. Commit times come from the
/// clock that the ledger was opened with, and never go back within a book, whatever the clock does.
///
/// **Books.** A book comes into being with its first event, never by being read. Names are checked before anything else: a book whose name is
/// reserved is written by nobody (`ReservedBook`), whatever else may be wrong with the call.
///
/// **Handles.** Any number of threads may use one; whether several processes may write is the implementation's to say. After
/// [`shutdown`](Self::shutdown) every call of the handle answers `ShutDown`.
///
/// The group `ledger` of the conformance suite holds all of this, but for failed syncs.
pub trait Ledger: Send + Sync {
    /// Registers an asset, in the reserved book. Again with the same precision is `Ok` and writes nothing, also when two do it
    /// at once.
    ///
    /// # Errors
    /// `InvalidDefinition`; `AlreadyExists` if it stands there with another precision.
    fn register_asset(&self, asset: &Asset) -> LedgerResult<()>;

    /// A registered asset.
    ///
    /// # Errors
    /// `UnknownAsset`.
    fn asset(&self, id: &AssetId) -> LedgerResult<Asset>;

    /// Every registered asset, by name ascending.
    ///
    /// # Errors
    /// Those of the medium.
    fn list_assets(&self) -> LedgerResult<Vec<Asset>>;

    /// Opens an account. Again with the same definition is `Ok` and writes nothing, also when two do it at once.
    ///
    /// # Errors
    /// In this order: `ReservedBook`; `InvalidDefinition`; `AlreadyExists` if it stands there with another asset, kind or minimum;
    /// `UnknownAsset`.
    fn open_account(&self, account: &Account) -> LedgerResult<()>;

    /// Every book that something was written to, by name ascending, the reserved one included.
    ///
    /// # Errors
    /// Those of the medium.
    fn list_books(&self) -> LedgerResult<Vec<BookName>>;

    /// The accounts of a book, by path ascending; none for a book that nothing was written to.
    ///
    /// # Errors
    /// Those of the medium.
    fn list_accounts(&self, book: &BookName) -> LedgerResult<Vec<Account>>;

    /// Commits one transaction: as [`commit_batch`](Self::commit_batch) of one draft.
    ///
    /// # Errors
    /// Those of a batch and of its drafts.
    fn commit(&self, book: &BookName, draft: &Draft) -> LedgerResult<Receipt> {
        let mut results = self.commit_batch(book, std::slice::from_ref(draft))?;
        results.pop().unwrap_or(Err(super::LedgerError::ShutDown))
    }

    /// Commits transactions to a book in their order, each whole or not at all, with one sync for all. The answers are by position;
    /// one that is refused does not touch the others, and uses up no seq.
    ///
    /// Each is judged by what those before it have made of the accounts, in this batch too. In this order:
    /// 1. `InvalidTransaction`: no postings or more than 1,024, an amount below 1, a key of 0 or more than 1,024 bytes, an account of another book.
    /// 2. Its key stands in the book, or earlier in the batch: the first receipt is answered, for ever, if the postings are the
    ///    same in the same order; else `KeyReused`. The id is not looked at.
    /// 3. Its id stands in any book: `AlreadyExists`.
    /// 4. `UnknownAccount`; `Unbalanced`, unless debits equal credits in each asset; `Overflow`, where an account's balance would leave ±(2^63 − 1);
    ///    `BelowMinimum`, where the balance of an account that it posts to would be less than its `min_balance`, after all postings, on the account's normal side.
    ///
    /// # Errors
    /// Of the batch: `ReservedBook`; `BookClosed`; `ShutDown`; those of the medium. Nothing of it is visible then, and whether it is written may be
    /// unknown: commit again with the same keys.
    fn commit_batch(&self, book: &BookName, drafts: &[Draft]) -> LedgerResult<Vec<LedgerResult<Receipt>>>;

    /// What an account holds, now or at a time. One that nothing was posted to by then holds 0, with an `updated_seq` of 0.
    ///
    /// # Errors
    /// `UnknownAccount` for one that was never opened, whatever the time.
    fn balance(&self, account: &AccountId, as_of: Option<TimestampUs>) -> LedgerResult<Balance>;

    /// The postings of an account behind `after` (exclusive), in order. `limit` counts distinct seqs, so that the postings of one
    /// transaction are never parted; 0 gives none.
    ///
    /// # Errors
    /// `UnknownAccount`.
    fn account_history(&self, account: &AccountId, after: Seq, limit: usize) -> LedgerResult<Vec<HistoryRow>>;

    /// A transaction of any book; `None` if there is none of this id.
    ///
    /// # Errors
    /// Those of the medium.
    fn transaction(&self, id: TransactionId) -> LedgerResult<Option<Transaction>>;

    /// For each asset that a posting was made in, by name ascending, the sum of debit balances and of credit balances; they are always equal.
    /// Empty for a book that nothing was posted to.
    ///
    /// # Errors
    /// Those of the medium.
    fn trial_balance(&self, book: &BookName, as_of: Option<TimestampUs>) -> LedgerResult<Vec<TrialRow>>;

    /// At most `limit` events from `from` (inclusive; 0 and 1 are the first), in order; none for a book that nothing was written to.
    ///
    /// # Errors
    /// `Damaged`; those of the medium.
    fn read_events(&self, book: &BookName, from: Seq, limit: usize) -> LedgerResult<Vec<Event>>;

    /// The events of a book from `from` (inclusive) on, and then what is committed by whomever. The book may come into being
    /// later.
    ///
    /// # Errors
    /// Those of the medium.
    fn subscribe(&self, book: &BookName, from: Seq) -> LedgerResult<Box<dyn Subscription>>;

    /// Sees to it that opening the ledger anew does not cost the book's history: returns when its present state is on stable storage.
    ///
    /// # Errors
    /// `UnknownBook`; those of the medium, after which everything is as it was.
    fn snapshot_now(&self, book: &BookName) -> LedgerResult<()>;

    /// Takes over events of a book of another ledger as they are, with their seqs and times: in an empty book from the first on, else behind those that it has. The first may be one
    /// that stands there already; such ones are held against what stands there. Each new one is judged like a new one, and by its time. The
    /// reserved book is written to in this way too, and comes first: accounts refer to it. Answers with how many were new.
    ///
    /// # Errors
    /// `Unfit` for an event that leaves a gap, goes back in time, stands there otherwise, or breaks a rule: then nothing of the call is written. `BookClosed`; `ShutDown`; those of the
    /// medium, after which a beginning of the events may be there: the same call again goes on.
    fn adopt_events(&self, book: &BookName, events: &[Event]) -> LedgerResult<u64>;

    /// What is not in step with the events, of that which the implementation keeps beside them and nobody else can see: `Projection`, as long as all that is lost with it follows from events that are there.
    /// A book that has events and is not named is an `Answer`, events that something tells of and that are not there an `Event`.
    /// [`verify_ledger`](super::verify_ledger) asks this when it has proved the rest.
    ///
    /// # Errors
    /// Those of the medium. A book that is damaged is passed over: reading it tells that.
    fn examine(&self) -> LedgerResult<Vec<LedgerFinding>> {
        Ok(Vec::new())
    }

    /// Makes a damaged book take writes again where it is: of `book`, or of each, it keeps the events before the first that is damaged, missing, or does not follow, with their
    /// seqs, times, ids and keys. What stands from there on is set aside, whole, for a person to look at; a book that has no event left is one that nothing was written to. What is made of the
    /// events and not in step with them is made anew. A transaction that is lost can be committed again, with its key and its id.
    ///
    /// Of the reserved book registrations that stand behind a lost one are written again at its end. A book whose accounts count an asset that is registered nowhere any more is kept; the asset is told.
    ///
    /// Each book is repaired at once or not at all, also if the process dies in the middle; and each that was leaves an event in the record of the store
    /// ([`BookRepair::event`](super::BookRepair::event)), which may be missing if the process dies. Where nothing is wrong, and with `dry_run`, nothing is written; a dry run is made by a handle for reading too. Commits of others wait meanwhile. A
    /// subscription that has read beyond the cut goes on at the seq where it was.
    ///
    /// # Errors
    /// `UnknownBook` for one that nothing was written to; `Unsupported` if a book has an event of a newer version, which is no damage; `BookClosed` for one that is to be repaired after a sync of it failed; `ReadOnly`;
    /// `ShutDown`; those of the medium. The books before it in the answer's order may be repaired then: the same call again goes on.
    fn repair(&self, book: Option<&BookName>, options: &MaintenanceOptions) -> LedgerResult<LedgerRepair>;

    /// Waits for the calls that are on their way, and lets go of everything: the ledger can be opened again, by this process too. Every
    /// later call of this handle, and of those that share what it holds, is `ShutDown`, but for this one.
    ///
    /// # Errors
    /// Those of the medium. It is shut down all the same.
    fn shutdown(&self) -> LedgerResult<()>;
}
