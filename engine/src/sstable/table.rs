//! [`Table`]: an open table.
//!
//! - Its index, filter and list of actors are in memory: what a table has not got is mostly said
//!   without I/O, and what it may have costs one read.
//! - Nothing outside its visible range is ever seen, whatever the file holds.

use std::ops::Range;
use std::rc::Rc;

use schemas::ids::Token;

use super::actors::Actors;
use super::block::Block;
use super::error::TableError;
use super::file_id::FileId;
use super::filter::Filter;
use super::footer::{FOOTER_BYTES, Footer, Layout, Section};
use super::index::{BlockAt, Index};
use super::properties::Properties;
use super::token_range::TokenRange;
use crate::env::{ALIGN, Env, File, Open};
use crate::integrity::{Corrupt, checksum};
use crate::record::Key;
use crate::sequential::read_span;

/// An open table. Clones are the same file.
pub struct Table<E: Env> {
    pub(super) contents: Rc<Contents<E>>,
    /// Tokens that are both visible and there.
    pub(super) range: Option<TokenRange>,
    /// Tokens that are there and not to be seen all the same, in order.
    pub(super) hidden: Rc<[TokenRange]>,
}

/// What is known of the file.
pub(super) struct Contents<E: Env> {
    pub(super) id: FileId,
    pub(super) path: String,
    pub(super) file: E::File,
    file_bytes: u64,
    footer: Footer,
    pub(super) index: Index,
    filter: Filter,
    actors: Rc<Actors>,
}

impl<E: Env> Clone for Table<E> {
    fn clone(&self) -> Self {
        let hidden = Rc::clone(&self.hidden);
        Self { contents: Rc::clone(&self.contents), range: self.range, hidden }
    }
}

impl<E: Env> Table<E> {
    /// Opens table `id` of directory `dir`, of which `visible` can be seen.
    ///
    /// # Errors
    /// The disk refuses, or what is around the blocks is not what was written. Blocks are checked
    /// when they are read.
    pub async fn open(
        env: &E,
        dir: &str,
        id: FileId,
        visible: TokenRange,
    ) -> Result<Self, TableError> {
        let path = format!("{dir}/{}", id.file_name());
        let file = env.open(&path, Open::Read).await;
        let file = file.map_err(TableError::io("cannot open", &path))?;
        let contents = Contents::<E>::read(file, path, id).await?;
        let range = contents.footer.properties.tokens.intersection(visible);
        Ok(Self { contents: Rc::new(contents), range, hidden: Rc::default() })
    }

    /// The same table with another visible range.
    #[must_use]
    pub fn with_visible(&self, visible: TokenRange) -> Self {
        let range = self.contents.footer.properties.tokens.intersection(visible);
        Self { range, ..self.clone() }
    }

    /// The same table without the tokens of `hidden`, which are in order and share none.
    #[must_use]
    pub fn without(&self, hidden: Vec<TokenRange>) -> Self {
        Self { hidden: hidden.into(), ..self.clone() }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> FileId {
        self.contents.id
    }

    /// Its path in the data directory.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.contents.path
    }

    /// Its file, for reads of the foreground.
    #[inline]
    #[must_use]
    pub fn file(&self) -> &E::File {
        &self.contents.file
    }

    /// From its first to its last token, as far as they are visible; `None` if none is. What is
    /// hidden between them is not left out.
    #[inline]
    #[must_use]
    pub fn range(&self) -> Option<TokenRange> {
        self.range
    }

    /// What is hidden of it, in order.
    #[must_use]
    pub fn hidden(&self) -> &[TokenRange] {
        &self.hidden
    }

    /// Whether a record of its with `token` can be seen.
    #[inline]
    #[must_use]
    pub fn is_seen(&self, token: Token) -> bool {
        self.range.is_some_and(|it| it.contains(token))
            && (self.hidden.is_empty() || !covers(&self.hidden, token))
    }

    /// Its length in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.contents.file_bytes
    }

    /// What it says of its records, visible or not.
    #[inline]
    #[must_use]
    pub fn properties(&self) -> &Properties {
        &self.contents.footer.properties
    }

    /// Where its parts are in the file.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.contents.footer.layout(self.contents.file_bytes)
    }

    /// Its blocks in order, seen or not, with the first token of each as the index has it.
    pub fn blocks(&self) -> impl Iterator<Item = (BlockAt, Token)> {
        self.contents.index.blocks()
    }

    /// Keys that its filter cannot tell from others.
    #[must_use]
    pub fn unfiltered_keys(&self) -> u64 {
        self.contents.filter.unfiltered_keys()
    }

    /// Where its blocks begin, seen or not.
    pub(crate) fn block_offsets(&self) -> impl Iterator<Item = u64> {
        self.contents.index.offsets()
    }

    /// The tokens that the block at byte `offset` may have records of, as far as they can be seen;
    /// all of the table's if no block begins there.
    pub(crate) fn tokens_at(&self, offset: u64) -> Option<TokenRange> {
        let mut blocks = self.blocks().skip_while(|(at, _)| at.offset != offset);
        let first = blocks.next().map_or(Token(0), |(_, first)| first);
        let last = blocks.next().map_or(Token(u64::MAX), |(_, next)| next);
        self.range?.intersection(TokenRange::new(first, last)?)
    }

    /// Memory that its index and filter take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.contents.index.memory_bytes() + self.contents.filter.memory_bytes()
    }

    /// Whether it may have `key` where it can be seen. Never false for a key it has.
    #[inline]
    #[must_use]
    pub fn may_contain(&self, key: &Key<'_>) -> bool {
        self.is_seen(key.token) && self.contents.filter.may_contain(key)
    }

    /// The block that holds `key`, if it has the key; `None` if it certainly has not. Asks no
    /// filter.
    #[inline]
    #[must_use]
    pub fn locate(&self, key: &Key<'_>) -> Option<BlockAt> {
        if self.is_seen(key.token) { self.contents.index.locate(key) } else { None }
    }

    /// Checks the block at `at` in `cover`, what was read at [`BlockAt::cover`], and keeps a copy.
    ///
    /// # Errors
    /// [`Corrupt`]: it is not what was written.
    pub fn block(&self, at: BlockAt, cover: &[u8]) -> Result<Block, Corrupt> {
        let bytes = at.in_cover(cover).ok_or("file ends in a block");
        bytes.and_then(|it| self.contents.verify(at, it)).map_err(|what| self.corrupt(at, what))
    }

    /// Reads and checks the block at `at`.
    ///
    /// # Errors
    /// The disk refuses, or the block is not what was written.
    pub async fn read_block(&self, at: BlockAt) -> Result<Block, TableError> {
        let bytes = read_span(&self.contents.file, at.offset, at.len as usize).await;
        let bytes = bytes.map_err(TableError::io("cannot read", self.path()))?;
        let whole = if bytes.len() == at.len as usize { Ok(&bytes) } else { Err("file cut") };
        let block = whole.and_then(|it| self.contents.verify(at, it));
        block.map_err(|what| self.corrupt(at, what).into())
    }

    pub(super) fn corrupt(&self, at: BlockAt, what: &'static str) -> Corrupt {
        Corrupt { file: self.contents.path.clone(), offset: at.offset, what }
    }
}

impl<E: Env> Contents<E> {
    /// Reads all of a table but its blocks.
    async fn read(file: E::File, path: String, id: FileId) -> Result<Self, TableError> {
        let io = || TableError::io("cannot read", &path);
        let corrupt = |offset, what| Corrupt { file: path.clone(), offset, what };
        let file_bytes = file.size().await.map_err(io())?;
        let page = file_bytes.checked_sub(ALIGN as u64);
        let page = page.filter(|_| file_bytes.is_multiple_of(ALIGN as u64));
        let page = page.ok_or_else(|| corrupt(file_bytes, "table cut off"))?;
        let last_page = read_span(&file, page, ALIGN).await.map_err(io())?;
        let footer = Footer::decode(&last_page, file_bytes, id, &path)?;
        let start = u64::from(footer.data_len);
        let meta_len = (file_bytes - FOOTER_BYTES as u64 - start) as usize;
        let meta = read_span(&file, start, meta_len).await.map_err(io())?;
        if meta.len() < meta_len {
            return Err(corrupt(start + meta.len() as u64, "table cut off").into());
        }
        let decoded = decode_meta(&meta, &footer);
        let (index, actors, filter) =
            decoded.map_err(|(at, what)| TableError::from(corrupt(start + at as u64, what)))?;
        let actors = Rc::new(actors);
        Ok(Self { id, path, file, file_bytes, footer, index, filter, actors })
    }

    /// Checks the block at `at`, whose bytes are `bytes`; an error says what is wrong.
    pub(super) fn verify(&self, at: BlockAt, bytes: &[u8]) -> Result<Block, &'static str> {
        let block = Block::verify(bytes, self.id, at.offset, &self.actors)?;
        let tokens = self.footer.properties.tokens;
        let (first, last) = (block.record(0).key, block.last_key());
        let inside = tokens.contains(first.token) && tokens.contains(last.token);
        inside.then_some(block).ok_or("block with tokens that its table has not got")
    }
}

/// Whether one of `ranges`, which are in order, has `token`.
pub(super) fn covers(ranges: &[TokenRange], token: Token) -> bool {
    let at = ranges.partition_point(|it| it.last() < token);
    ranges.get(at).is_some_and(|it| it.contains(token))
}

/// Checks and reads what is between blocks and footer; an error says what is wrong and where in
/// `meta`.
fn decode_meta(
    meta: &[u8],
    footer: &Footer,
) -> Result<(Index, Actors, Filter), (usize, &'static str)> {
    let [index, actors, filter] = footer.ranges();
    let end = filter.end;
    let section = |section: Section, range: Range<usize>| {
        let (at, bytes) = (range.start, &meta[range]);
        let offset = u64::from(footer.data_len) + at as u64;
        let sound = checksum(footer.file.0, offset, bytes) == section.crc.get();
        sound.then_some((at, bytes)).ok_or((at, "section does not match its sum"))
    };
    let (at, bytes) = section(footer.index, index)?;
    let index = Index::decode(bytes, footer.data_len).ok_or((at, "index does not fit"))?;
    let (at, bytes) = section(footer.actors, actors)?;
    let actors = Actors::decode(bytes).ok_or((at, "list of actors does not fit"))?;
    let (at, bytes) = section(footer.filter, filter)?;
    let filter = Filter::decode(bytes.into()).ok_or((at, "filter does not fit"))?;
    let padding = meta[end..].iter().position(|&byte| byte != 0);
    match padding {
        Some(at) => Err((end + at, "padding is not zero")),
        None => Ok((index, actors, filter)),
    }
}
