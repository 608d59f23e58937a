//! The contract of [`Integrity`].
//!
//! One trait and not several: what it asks for shares the same locks and the same record of events, nobody needs one part without the
//! others, and whoever verifies wants to repair. It is small because it has no judgement in it; everything above a backend's bytes is in
//! the functions of this module's siblings.

use super::beside::RecordRepair;
use super::checkpoint::{Checkpoint, ListedCheckpoint, NewCheckpoint};
use super::event::Event;
use super::finding::Finding;
use super::maintain::{Collection, MaintenanceOptions, Repair, Rollback};
use super::scan::Visit;
use crate::entry::BlobRef;
use crate::error::Result;
use crate::id::{SegmentId, SessionId};
use crate::store::Store;

/// Proving what is stored, and setting it back or repairing it where it is not as it should be.
///
/// **Events.** Every rollback and every repair of a segment that exists leaves one event that says how it ended, also when
/// it was refused; a dry run and a repair of an undamaged segment leave none. An event is durable when the call returns.
///
/// **Exclusion.** A rollback and a repair need that nobody holds the segment's lease, keep others from it and from creating forks while they
/// run, and are seen by every handle when they return. Plain appends of others wait and then land behind the result, or fail.
///
/// **All or nothing.** A call that fails leaves the segment, its keys and its checkpoints as they were, also if the process dies in
/// the middle of it.
pub trait Integrity: Store {
    /// Hands over the whole log of a segment as it lies on the medium, in its order: each entry with a right checksum, and each stretch between
    /// them that holds none.
    ///
    /// It streams: memory does not grow with the log. It tells what stood there when it began; entries that others append meanwhile
    /// may be missing, and what a living writer is just writing is not told as damage. It judges nothing: that seqs follow
    /// each other, what the texts say and whether the chain is right is for the caller to see. After a stretch it goes on with the next
    /// entry that it can find. What the medium keeps beside an entry and is not what its text says is told with the entry, and nowhere else. What
    /// makes a log unreadable as a whole (a link, a folder, a database page in its place) is a stretch of kind `Structure`, not an error.
    /// `visit` may break off.
    ///
    /// # Errors
    /// `NotFound` for an unknown segment and for one of another session; those of the medium.
    fn scan(&self, session: SessionId, segment: SegmentId, visit: &mut Visit<'_>) -> Result<()>;

    /// What is wrong beside the logs. Of a session: its facts, the traces and checkpoints of its segments, permissions of its files, what
    /// leads to its segments (the look-up, the record of forks), a segment whose log is gone without a word. `None`: of the store as a whole, without its sessions: facts, events, blobs whose
    /// bytes are not what their names say, permissions, the structure of the database, look-ups that lead nowhere.
    ///
    /// # Errors
    /// `NotFound` for an unknown session; those of the medium. What is damaged is an answer.
    fn examine(&self, session: Option<SessionId>) -> Result<Vec<Finding>>;

    /// Whether the bytes of a blob are there and true. As [`Store::get_blob`], for backends that can tell without holding the bytes.
    ///
    /// # Errors
    /// As [`Store::get_blob`].
    fn check_blob(&self, reference: &BlobRef) -> Result<()> {
        self.get_blob(reference).map(drop)
    }

    /// Remembers what the segment is now: the checkpoint and everything through its entry are on stable storage when the call returns.
    ///
    /// Its number is greater than that of every checkpoint the segment ever had, void ones included. A torn tail is not part of it. It needs
    /// no lease and ignores those of others. Reads the whole log.
    ///
    /// # Errors
    /// `NotFound` as [`scan`](Self::scan); `Corrupt` if the log is damaged anywhere; `InvalidEntry` and `TooLarge` as
    /// [`NewCheckpoint::check`] says; `ReadOnly`.
    fn checkpoint(&self, session: SessionId, segment: SegmentId, new: &NewCheckpoint) -> Result<Checkpoint>;

    /// Every checkpoint of the segment by number, void ones included.
    ///
    /// # Errors
    /// `NotFound` as [`scan`](Self::scan); `Corrupt` if the record of checkpoints is damaged.
    fn checkpoints(&self, session: SessionId, segment: SegmentId) -> Result<Vec<ListedCheckpoint>>;

    /// Sets the segment back to a checkpoint: exactly its entries are left, their positions unchanged.
    ///
    /// The entries behind it go to quarantine, whole, and damaged bytes behind it too. Their keys are free again; the checkpoints behind it
    /// are void; tails that have read beyond it say `Diverged`; `changes` names the segment. Before anything is touched the log is read through the
    /// checkpoint and held against its head; the result is read back before it takes the log's place.
    ///
    /// # Errors
    /// The first of these that is so: `NotFound` as [`scan`](Self::scan), and of a checkpoint that does not exist or is void; `Busy` if anybody, this handle
    /// included, holds the lease; `Referenced` if the origin or a history
    /// reference of any other segment, of whichever session, lies in this segment beyond the checkpoint; `Corrupt` if the log is damaged up to the checkpoint, or is not the one that the checkpoint saw; `ReadOnly`.
    fn rollback(
        &self,
        session: SessionId,
        segment: SegmentId,
        checkpoint: u64,
        options: &MaintenanceOptions,
    ) -> Result<Rollback>;

    /// Makes a damaged segment whole again as [`RepairPlan`](super::RepairPlan) says: every valid entry keeps its seq, text and key, lost
    /// entries are said to be lost at their places, everything else goes to quarantine, a torn tail or a hole at the end too.
    ///
    /// The checkpoints behind the first lost entry are void; the positions of kept entries may change; `changes` names the
    /// segment, and its `rewritten` too. No entry is removed that anybody refers to. What the backend keeps beside the log and can make of it, what leads to it
    /// among that, is put right; where nothing else was wrong the answer has a migration id and nothing lost. A segment whose log is gone, and of which something says that
    /// it was there, gets a log of lost entries; where all its session is gone with it, what leads to it goes too. Of an undamaged segment nothing is changed.
    ///
    /// # Errors
    /// `NotFound` as [`scan`](Self::scan); `Busy` as [`rollback`](Self::rollback); `Corrupt` if nothing can be saved; `ReadOnly`.
    fn repair(&self, session: SessionId, segment: SegmentId, options: &MaintenanceOptions) -> Result<Repair>;

    /// Makes whole what lies beside the logs, each record by itself: of a session its facts, and the traces and checkpoints of its segments; `None`: of the store
    /// its facts and the record of events. Answers with those that needed it.
    ///
    /// Every valid text is kept, in its order; everything else goes to quarantine, and what is kept is numbered anew without gaps, because nobody refers to
    /// the number of a text. Checkpoints that are not true of the log any more are void; the numbers of lost ones may be given again. A session whose facts were repaired
    /// is named by `changes`. Each record that was repaired leaves an event with its migration id. Afterwards [`examine`](Self::examine) finds nothing in these records. A torn tail alone is
    /// left to the next writer. A dry run changes and records nothing.
    ///
    /// Whoever repairs a segment too does this before: the repair of its log asks its checkpoints, and writes into the record of events.
    ///
    /// # Errors
    /// `NotFound` for an unknown session; `Corrupt` if something else stands in a record's place, or the medium's own structure is broken; `ReadOnly`. What was repaired
    /// of other records before that stays repaired.
    fn repair_beside(&self, session: Option<SessionId>, options: &MaintenanceOptions) -> Result<Vec<RecordRepair>>;

    /// Removes the blobs that nothing refers to, and what stopped processes left behind; with `dry_run` only says which.
    ///
    /// A blob is kept that any entry or fact of the store names, or anything in quarantine ([`collectable`](super::collectable)). While it runs
    /// nobody can put a blob: who wants to waits. So no blob can be lost between its put and the append that refers to it, as long as its
    /// guard lives. Whoever refers to a blob that somebody else put holds it by a guard of its own: puts it again.
    ///
    /// # Errors
    /// `Busy` if a guard of any handle lives; `Corrupt` if any log or fact cannot be read whole, or a segment or session is gone and something that
    /// is left says that it was there: nobody knows what it refers to; `ReadOnly`. Then nothing was removed.
    fn collect(&self, dry_run: bool) -> Result<Collection>;

    /// What was done to the store's bytes, in order.
    ///
    /// # Errors
    /// `Corrupt` if the record itself is damaged.
    fn events(&self) -> Result<Vec<Event>>;

    /// Adds an event, durably. For what is done above a backend: migrations, holes that a person took note of.
    ///
    /// # Errors
    /// `TooLarge`; `ReadOnly`.
    fn record(&self, event: &Event) -> Result<()>;
}
