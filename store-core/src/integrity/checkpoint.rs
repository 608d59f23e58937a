//! Checkpoints: what is remembered of a segment at one moment, and which of them still hold.

use serde::{Deserialize, Serialize};

use crate::call::{check_size, invalid};
use crate::chain::ChainHead;
use crate::error::Result;
use crate::id::{Seq, TimestampMs, crc_hex};

/// The longest name of a checkpoint, in bytes.
const NAME_BYTES_MAX: u64 = 256;
/// The longest reason of a checkpoint, in bytes.
const REASON_BYTES_MAX: u64 = 4096;

/// What a segment was at one moment; a segment can be rolled back to it.
// Persisted: never rename a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its number within the segment: from 1, only ever growing, also past void ones.
    #[serde(rename = "checkpoint")]
    pub number: u64,
    /// The last entry that it holds.
    pub seq: Seq,
    /// The chain's head behind that entry.
    pub head: ChainHead,
    /// That entry's stored checksum.
    #[serde(with = "crc_hex")]
    pub last_crc32c: u32,
    /// How many bytes the log had through that entry, over all its parts, as the backend counts them.
    pub bytes: u64,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it was made.
    pub reason: String,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: TimestampMs,
}

/// What the caller says of a checkpoint that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewCheckpoint {
    /// Why it is made; at most 4096 bytes.
    pub reason: String,
    /// What it is called: 1 to 256 bytes, not a number. Names need not be unique.
    pub name: Option<String>,
    /// When, in milliseconds since the epoch.
    pub now: TimestampMs,
}

impl NewCheckpoint {
    /// Refuses what no backend accepts.
    ///
    /// # Errors
    /// `TooLarge`; `InvalidEntry` for a name that is empty or a number.
    pub fn check(&self) -> Result<()> {
        check_size(self.reason.len() as u64, REASON_BYTES_MAX)?;
        let Some(name) = &self.name else { return Ok(()) };
        check_size(name.len() as u64, NAME_BYTES_MAX)?;
        // A number names the checkpoint of that number; an empty name names nothing.
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid(0, "a checkpoint's name is neither empty nor a number"));
        }
        Ok(())
    }
}

/// A line of the record of a segment's checkpoints.
// Persisted: never rename a variant or a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CheckpointLine {
    /// A checkpoint was made.
    Made(Checkpoint),
    /// The checkpoints that were made before this line with a greater number are void.
    Void {
        /// The last number that is not void.
        void_after: u64,
    },
}

/// A checkpoint, and whether it still holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedCheckpoint {
    /// The checkpoint.
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    /// The segment was rolled back before it, or repaired: nothing can be rolled back to it any more.
    pub void: bool,
}

/// The checkpoints that a record's lines tell, in order.
pub fn list_checkpoints(lines: impl IntoIterator<Item = CheckpointLine>) -> Vec<ListedCheckpoint> {
    let mut listed: Vec<ListedCheckpoint> = Vec::new();
    for line in lines {
        match line {
            CheckpointLine::Made(checkpoint) => listed.push(ListedCheckpoint { checkpoint, void: false }),
            CheckpointLine::Void { void_after } => {
                for before in listed.iter_mut().filter(|before| before.checkpoint.number > void_after) {
                    before.void = true;
                }
            }
        }
    }
    listed
}

impl ListedCheckpoint {
    /// The number of the next checkpoint of a segment that has these.
    pub fn next_number(listed: &[Self]) -> u64 {
        listed.iter().map(|before| before.checkpoint.number).max().unwrap_or(0) + 1
    }

    /// The checkpoint of this number, if it is not void.
    pub fn find(listed: &[Self], number: u64) -> Option<&Checkpoint> {
        listed.iter().find(|one| !one.void && one.checkpoint.number == number).map(|one| &one.checkpoint)
    }

    /// The line that makes void what does not hold any more when only the entries through `seq` are as they were; `None` if
    /// every checkpoint holds.
    pub fn void_behind(listed: &[Self], seq: Seq) -> Option<CheckpointLine> {
        let live = || listed.iter().filter(|one| !one.void).map(|one| &one.checkpoint);
        live().any(|one| one.seq > seq).then(|| CheckpointLine::Void {
            void_after: live().filter(|one| one.seq <= seq).map(|one| one.number).max().unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(number: u64, seq: u64) -> CheckpointLine {
        CheckpointLine::Made(Checkpoint {
            number,
            seq: Seq(seq),
            head: ChainHead::ROOT,
            last_crc32c: 0x00AB_CDEF,
            bytes: 10 * seq,
            name: None,
            reason: "before a risk".to_owned(),
            created_at: 7,
        })
    }

    #[test]
    fn the_forms_of_lines_are_the_documented_ones() {
        let texts: Vec<_> = [made(1, 4), CheckpointLine::Void { void_after: 1 }]
            .iter()
            .map(|line| serde_json::to_string(line).unwrap())
            .collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
        {"checkpoint":1,"seq":4,"head":"0000000000000000000000000000000000000000000000000000000000000000","last_crc32c":"00ABCDEF","bytes":40,"reason":"before a risk","created_at":7}
        {"void_after":1}
        "#);
        for (text, line) in texts.iter().zip([made(1, 4), CheckpointLine::Void { void_after: 1 }]) {
            assert_eq!(serde_json::from_str::<CheckpointLine>(text).unwrap(), line);
        }
    }

    #[test]
    fn what_is_rolled_back_before_is_void_and_its_numbers_are_not_used_again() {
        let mut lines = vec![made(1, 2), made(2, 2), made(3, 5), made(4, 9)];
        let listed = list_checkpoints(lines.clone());
        assert_eq!(ListedCheckpoint::void_behind(&listed, Seq(9)), None);
        let void = ListedCheckpoint::void_behind(&listed, Seq(2)).unwrap();
        assert_eq!(void, CheckpointLine::Void { void_after: 2 });
        lines.push(void);
        let listed = list_checkpoints(lines.clone());
        assert_eq!(listed.iter().map(|one| one.void).collect::<Vec<_>>(), [false, false, true, true]);
        assert_eq!(ListedCheckpoint::next_number(&listed), 5);
        lines.push(made(5, 3));
        let listed = list_checkpoints(lines);
        assert!(ListedCheckpoint::find(&listed, 3).is_none());
        assert_eq!(ListedCheckpoint::find(&listed, 5).unwrap().seq, Seq(3));
        assert_eq!(ListedCheckpoint::void_behind(&listed, Seq(1)), Some(CheckpointLine::Void { void_after: 0 }));
    }

    #[test]
    fn a_name_that_could_be_a_number_is_refused() {
        let named = |name: &str| NewCheckpoint { name: Some(name.to_owned()), ..NewCheckpoint::default() }.check();
        assert!(named("before-the-merge").is_ok() && named(&"n".repeat(256)).is_ok());
        assert!(named("").is_err() && named("12").is_err() && named(&"n".repeat(257)).is_err());
    }
}
