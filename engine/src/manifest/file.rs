//! [`Manifest`]: the file, and the version it stands for.
//!
//! - The file never changes its length: it is written with zeros for the edits to come, so that an
//!   edit changes no metadata of the file system, and a file that was cut is seen to be.
//! - It is renewed when an edit does not fit any more, and whenever it is opened: what a crash left
//!   at its end cannot come back.
//! - Its predecessor stays beside it and is written over by its successor: a start on a full disk
//!   needs no space for it.

use std::io;
use std::rc::Rc;

use super::edit::VersionEdit;
use super::error::ManifestError;
use super::frame::{Header, frame_len, shard_hash};
use super::version::Version;
use crate::env::buf::AlignedBuf;
use crate::env::{ALIGN, Env, File, Open};
use crate::integrity::Corrupt;
use crate::limits;
use crate::sequential::{Sink, read_span};
use crate::sstable::FileId;

/// The name of a manifest in its shard's directory.
pub const NAME: &str = "MANIFEST";
/// The name of the file that its successor is written into.
pub const SPARE: &str = "MANIFEST.tmp";

/// A shard's manifest, open for edits.
pub struct Manifest<E: Env> {
    env: E,
    dir: String,
    version: Rc<Version>,
    /// `None` after a failure that leaves the file's content in doubt.
    open: Option<Opened<E::File>>,
}

/// The file and where its next frame goes.
struct Opened<F> {
    file: F,
    header: Header,
    offset: u64,
    sequence: u64,
}

impl<E: Env> Manifest<E> {
    /// What the manifest of directory `dir` says; no tables if there is neither a manifest nor a
    /// table. Changes nothing.
    ///
    /// # Errors
    /// The disk refuses, or the file is not what was written.
    pub async fn find(env: &E, dir: &str) -> Result<Version, ManifestError> {
        let names = env.list(dir).await.map_err(ManifestError::io("cannot list", dir))?;
        if names.iter().any(|name| name == NAME) {
            Self::read(env, dir).await
        } else if names.iter().any(|name| FileId::from_file_name(name).is_some()) {
            Err(ManifestError::Missing { file: format!("{dir}/{NAME}") })
        } else {
            Ok(Version::default())
        }
    }

    /// As [`find`](Self::find), and makes durable what is found. A process that was killed may have
    /// left an edit, or a manifest, that it had not synced: whoever removes what that has dropped
    /// before it is durable, tables or log, loses it with the next power cut.
    ///
    /// # Errors
    /// As for [`Manifest::find`].
    pub async fn find_settled(env: &E, dir: &str) -> Result<Version, ManifestError> {
        let path = format!("{dir}/{NAME}");
        let version = Self::find(env, dir).await?;
        let settle = async {
            if has(env, dir, NAME).await? {
                env.open(&path, Open::ReadWrite).await?.sync().await?;
                env.sync_dir(dir).await?;
            }
            Ok(())
        };
        settle.await.map_err(ManifestError::io("cannot sync", &path))?;
        Ok(version)
    }

    /// Makes the manifest of directory `dir`, or puts another in its place, with `version` in it.
    ///
    /// # Errors
    /// The disk refuses.
    pub async fn create(env: &E, dir: &str, version: Version) -> Result<Self, ManifestError> {
        let io = || ManifestError::io("cannot make a manifest in", dir);
        let new = Opened::prepare(env, dir, &version).await.map_err(io())?;
        let open = new.install(env, dir).await.map_err(io())?;
        let (env, dir) = (env.clone(), dir.to_owned());
        Ok(Self { env, dir, version: Rc::new(version), open: Some(open) })
    }

    /// What the manifest of directory `dir` says. Changes nothing.
    ///
    /// # Errors
    /// As for [`Manifest::find`].
    pub async fn read(env: &E, dir: &str) -> Result<Version, ManifestError> {
        let path = format!("{dir}/{NAME}");
        let (header, bytes) = Self::read_bytes(env, &path).await?;
        header.check_shard(&path)?;
        Ok(header.replay(&bytes, &path)?)
    }

    /// The header and all bytes of the manifest at `path`.
    pub(super) async fn read_bytes(
        env: &E,
        path: &str,
    ) -> Result<(Header, Vec<u8>), ManifestError> {
        let read = async {
            let file = env.open(path, Open::Read).await?;
            let (len, page) = (file.size().await?, file.read_at(0, ALIGN).await?);
            Ok((file, len, page))
        };
        let io = || ManifestError::io("cannot read", path);
        let (file, len, page) = read.await.map_err(io())?;
        // What the file has for a length is believed when its header says the same.
        let header = Header::decode(&page, len, path)?;
        if len > limits::MANIFEST_BYTES_MAX {
            let what = "manifest longer than any that is written";
            return Err(Corrupt { file: path.to_owned(), offset: 0, what }.into());
        }
        let len = usize::try_from(len).expect("64 bits");
        let bytes = read_span(&file, 0, len).await.map_err(io())?;
        if bytes.len() < len {
            return Err(io()(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok((header, bytes))
    }

    /// The version as of the last commit.
    #[must_use]
    pub fn version(&self) -> &Rc<Version> {
        &self.version
    }

    /// Whether a write failed in a way that leaves the file's content in doubt, so that nothing
    /// more can be committed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.open.is_none()
    }

    /// Makes `edit` durable and returns the version it makes.
    ///
    /// # Errors
    /// The disk refuses. If the manifest has [`failed`](Manifest::failed), whether the edit is
    /// durable is not known; otherwise it is not, and can be committed again.
    ///
    /// # Panics
    /// If the edit contradicts the version.
    pub async fn commit(&mut self, edit: &VersionEdit) -> Result<Rc<Version>, ManifestError> {
        let path = format!("{}/{NAME}", self.dir);
        let io = || ManifestError::io("cannot write", &path);
        let next = self.version.apply(edit).unwrap_or_else(|error| panic!("{path}: {error}"));
        // Out of its place while a write is under way: should that fail, or never be polled to its
        // end, nothing follows it.
        let open = self.open.take().ok_or_else(|| ManifestError::Failed { file: path.clone() })?;
        let open = if open.fits(edit) {
            open.append(edit).await.map_err(io())?
        } else {
            match Opened::prepare(&self.env, &self.dir, &next).await {
                Ok(new) => new.install(&self.env, &self.dir).await.map_err(io())?,
                Err(error) => {
                    self.open = Some(open);
                    return Err(io()(error));
                }
            }
        };
        self.open = Some(open);
        self.version = Rc::new(next);
        Ok(Rc::clone(&self.version))
    }
}

impl<F: File> Opened<F> {
    /// Writes a manifest that says `version` into the spare file, and syncs it.
    async fn prepare<E: Env<File = F>>(env: &E, dir: &str, version: &Version) -> io::Result<Self> {
        // The spare was the manifest once. Until the directory is durable a crash could make it so
        // again.
        env.sync_dir(dir).await?;
        let (file, len) = open_spare(env, dir).await?;
        let edits = version.snapshot(limits::MANIFEST_TABLES_PER_FRAME);
        let base_len: usize = edits.iter().map(|edit| frame_len(edit.encoded_len())).sum();
        let offset = (ALIGN + base_len) as u64;
        let header = Header {
            incarnation: env.random(),
            base_frames: u32::try_from(edits.len()).expect("far fewer tables"),
            // Files are never cut; and one that is a little short is taken as it is, for there may
            // be no space to make it longer.
            file_len: match offset + limits::MANIFEST_ROOM_BYTES / 2 {
                enough if len >= enough => len,
                _ => offset + limits::MANIFEST_ROOM_BYTES,
            },
            shard: shard_hash(dir),
        };
        let mut sink = Sink::new(file.clone());
        sink.put(&header.encode()).await?;
        let mut frame = Vec::new();
        for (edit, sequence) in edits.iter().map(Some).chain([None]).zip(1..) {
            frame.clear();
            header.put_frame(&mut frame, sink.position(), sequence, edit);
            sink.put(&frame).await?;
        }
        while sink.position() < header.file_len {
            sink.pad_to(sink.position() + ALIGN as u64).await?;
        }
        sink.finish().await?;
        Ok(Self { file, header, offset, sequence: edits.len() as u64 + 1 })
    }

    /// Puts the prepared manifest in the place of the one that is there, which becomes the spare.
    async fn install<E: Env<File = F>>(self, env: &E, dir: &str) -> io::Result<Self> {
        let (spare, manifest) = (format!("{dir}/{SPARE}"), format!("{dir}/{NAME}"));
        if has(env, dir, NAME).await? {
            env.exchange(&spare, &manifest).await?;
        } else {
            env.rename(&spare, &manifest).await?;
        }
        env.sync_dir(dir).await?;
        self.make_spare(env, dir).await;
        Ok(self)
    }

    /// Makes the spare file as long as this one, if the disk has the space.
    async fn make_spare<E: Env<File = F>>(&self, env: &E, dir: &str) {
        let make = async {
            let (file, mut len) = open_spare(env, dir).await?;
            while len < self.header.file_len {
                let zeros = (self.header.file_len - len).min(limits::MANIFEST_ROOM_BYTES);
                file.write_at(len, AlignedBuf::zeroed(zeros as usize)).await?;
                len += zeros;
            }
            io::Result::Ok(())
        };
        if let Err(error) = make.await {
            tracing::warn!(%error, dir, "no space is kept for the next manifest");
        }
    }

    /// Whether there is room for `edit` and a seal.
    fn fits(&self, edit: &VersionEdit) -> bool {
        let len = frame_len(edit.encoded_len()) + ALIGN;
        len <= limits::BACKGROUND_IO_BYTES_MAX && self.offset + len as u64 <= self.header.file_len
    }

    /// Adds `edit`, which fits, and makes it durable.
    async fn append(mut self, edit: &VersionEdit) -> io::Result<Self> {
        let end = self.put(self.offset, Some(edit)).await?;
        self.file.sync().await?;
        (self.offset, self.sequence) = (end, self.sequence + 1);
        // Not synced: once it is there, damage to the edit is known from a torn write.
        self.put(end, None).await?;
        Ok(self)
    }

    async fn put(&self, offset: u64, edit: Option<&VersionEdit>) -> io::Result<u64> {
        let mut frame = Vec::new();
        let sequence = self.sequence;
        self.header.put_frame(&mut frame, offset, sequence, edit);
        let mut buf = AlignedBuf::zeroed(frame.len());
        buf.copy_from_slice(&frame);
        self.file.write_at(offset, buf).await?;
        Ok(offset + frame.len() as u64)
    }
}

/// The spare file, made if there is none, and its length.
async fn open_spare<E: Env>(env: &E, dir: &str) -> io::Result<(E::File, u64)> {
    let path = format!("{dir}/{SPARE}");
    if has(env, dir, SPARE).await? {
        let file = env.open(&path, Open::ReadWrite).await?;
        let len = file.size().await?.next_multiple_of(ALIGN as u64);
        if len <= limits::MANIFEST_BYTES_MAX {
            return Ok((file, len));
        }
        env.remove(&path).await?;
    }
    Ok((env.open(&path, Open::Create).await?, 0))
}

async fn has<E: Env>(env: &E, dir: &str, name: &str) -> io::Result<bool> {
    Ok(env.list(dir).await?.iter().any(|it| it == name))
}
