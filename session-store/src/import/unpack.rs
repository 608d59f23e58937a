//! A file's bytes as its agent wrote them, also where it was compressed since (Codex may do that to old rollouts).
//!
//! What a file is, its beginning tells and not its name. A compressed one is decoded as it is read: the frame's window bounds the
//! memory, and one that asks for more than [`WINDOW_LOG_MAX`] is not decoded. A frame that is cut or damaged ends the
//! text where it does, as a torn last line does in a plain file; [`Unpacked::damage`] tells why. The decoder is fed in sips, because what it
//! decoded in the same call as it meets damage is lost.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::path::{Path, PathBuf};

use zstd::stream::read::Decoder;

/// The largest window that is decoded, as a power of two: 128 MiB, which is also as far as `zstd` itself goes unasked.
const WINDOW_LOG_MAX: u32 = 27;

/// How much of a compressed file is decoded in one call.
const SIP_BYTES: usize = 1 << 10;

/// What a frame begins with, and what one does that is to be skipped but for its low half of the first byte.
const FRAME: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
const SKIPPED_FRAME: [u8; 3] = [0x2A, 0x4D, 0x18];

/// What the name of a compressed file has behind its own.
const EXTENSION: &str = "zst";

/// The path that a file had before it was compressed.
pub(super) fn plain_path(path: &Path) -> PathBuf {
    let is_packed = path.extension().is_some_and(|extension| extension == EXTENSION);
    if is_packed { path.with_extension("") } else { path.to_owned() }
}

/// The text of a file, compressed or not.
pub(super) struct Unpacked {
    input: Input,
    damage: Option<String>,
}

enum Input {
    Plain(BufReader<Take<File>>),
    Packed(Box<Decoder<'static, Sips<BufReader<Take<File>>>>>),
}

impl Unpacked {
    /// Reads a file as far as it reaches now.
    pub(super) fn new(file: File, bytes: u64) -> io::Result<Self> {
        let mut input = BufReader::new(file.take(bytes));
        let input = if is_frame(input.fill_buf()?) {
            let mut decoder = Decoder::with_buffer(Sips(input))?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Input::Packed(Box::new(decoder))
        } else {
            Input::Plain(input)
        };
        Ok(Self { input, damage: None })
    }

    /// Whether the file is compressed.
    pub(super) const fn is_packed(&self) -> bool {
        matches!(self.input, Input::Packed(_))
    }

    /// Why nothing could be decoded behind what was read.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }
}

fn is_frame(beginning: &[u8]) -> bool {
    match beginning {
        [first, rest @ ..] if first & 0xF0 == 0x50 => rest.starts_with(&SKIPPED_FRAME),
        beginning => beginning.starts_with(&FRAME),
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let decoder = match &mut self.input {
            Input::Plain(input) => return input.read(buffer),
            Input::Packed(_) if self.damage.is_some() => return Ok(0),
            Input::Packed(decoder) => decoder,
        };
        match decoder.read(buffer) {
            // The system could not read the file; nothing is wrong with what it holds.
            Err(error) if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.damage = Some(if error.kind() == io::ErrorKind::UnexpectedEof {
                    "the compressed file is cut: it ends within a frame".to_owned()
                } else {
                    format!("the compressed file is damaged, nothing behind this could be decoded: {error}")
                });
                Ok(0)
            }
            read => read,
        }
    }
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_packed = self.is_packed();
        f.debug_struct("Unpacked").field("is_packed", &is_packed).field("damage", &self.damage).finish()
    }
}

/// Gives what it reads a little at a time.
struct Sips<R>(R);

impl<R: BufRead> Read for Sips<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = buffer.len().min(SIP_BYTES);
        self.0.read(&mut buffer[..end])
    }
}

impl<R: BufRead> BufRead for Sips<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.0.fill_buf()?;
        Ok(&bytes[..bytes.len().min(SIP_BYTES)])
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<u8>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let mut unpacked = Unpacked::new(File::open(&path).unwrap(), bytes.len() as u64).unwrap();
        let mut text = Vec::new();
        unpacked.read_to_end(&mut text).unwrap();
        (text, unpacked.damage().map(str::to_owned))
    }

    /// Text that does not compress to next to nothing.
    fn text() -> Vec<u8> {
        let words = (0_u64..40_000).map(|n| format!("{:x} ", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        words.collect::<String>().into_bytes()
    }

    #[test]
    fn frames_that_follow_each_other_are_one_text() {
        let mut packed = zstd::encode_all(&b"one "[..], 0).unwrap();
        packed.extend_from_slice(&[0x5A, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 7, 7]);
        packed.extend(zstd::encode_all(&b"two"[..], 0).unwrap());
        assert_eq!(read(&packed), (b"one two".to_vec(), None));
        assert_eq!(read(b"plain"), (b"plain".to_vec(), None));
        assert_eq!(read(b""), (Vec::new(), None));
    }

    #[test]
    fn of_a_cut_file_what_decodes_is_read() {
        let text = text();
        let packed = zstd::encode_all(text.as_slice(), 3).unwrap();
        for cut in [5, packed.len() / 3, packed.len() / 2, packed.len() - 1] {
            let (read, damage) = read(&packed[..cut]);
            assert!(text.starts_with(&read), "cut at {cut}");
            assert!(damage.unwrap().contains("is cut"), "cut at {cut}");
            // All but the block that is cut, which has at most 128 KiB.
            assert!(read.len() + (256 << 10) >= text.len() * cut / packed.len(), "{} at {cut}", read.len());
        }
    }

    #[test]
    fn of_a_damaged_file_what_stands_before_the_damage_is_read() {
        let text = text();
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        io::copy(&mut text.as_slice(), &mut encoder).unwrap();
        let mut packed = encoder.finish().unwrap();
        let at = packed.len() * 3 / 4;
        packed[at..at + 64].fill(0xFF);
        let (read, damage) = read(&packed);
        assert!(damage.unwrap().contains("is damaged"));
        assert!(read.len() > text.len() / 4, "{}", read.len());
    }

    #[test]
    fn a_frame_that_asks_for_too_much_memory_is_not_decoded() {
        // Window descriptor 31 << 3: 2^41 bytes.
        let (read, damage) = read(&[0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xF8, 0x01, 0x00, 0x00]);
        assert!(read.is_empty());
        assert!(damage.unwrap().contains("memory"));
    }

    #[test]
    fn the_name_of_a_compressed_file_is_that_of_its_text() {
        assert_eq!(plain_path(Path::new("a/x.jsonl.zst")), Path::new("a/x.jsonl"));
        assert_eq!(plain_path(Path::new("a/x.jsonl")), Path::new("a/x.jsonl"));
    }
}
