//! [`Table`]: an open table.
//!
//! - The lists of its partitions and actors are in memory, of its partitions those that there is
//!   room for. Where they are, what a table has not got is mostly said without I/O, and what it may
//!   have costs one read; where not, the partition is read first.
//! - Nothing outside its visible range is ever seen, whatever the file holds.

use std::ops::Range;
use std::rc::Rc;

use schemas::ids::Token;

use super::actors::Actors;
use super::block::Block;
use super::error::TableError;
use super::file_id::FileId;
use super::footer::{FOOTER_BYTES, Footer, Layout, Section};
use super::index::BlockAt;
use super::partition::Partition;
use super::partition_walk::PartitionWalk;
use super::properties::Properties;
use super::residents::{Residents, Slots};
use super::token_range::TokenRange;
use super::top::Top;
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
    pub(super) top: Top,
    pub(super) slots: Slots,
    actors: Rc<Actors>,
}

/// Where a table may have a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// Nowhere.
    Absent,
    /// In a block.
    Block(BlockAt),
    /// What tells is a partition that is not in memory.
    Partition {
        /// Its number.
        number: usize,
        /// Where it is: it is read as a block is.
        at: BlockAt,
    },
}

impl<E: Env> Clone for Table<E> {
    fn clone(&self) -> Self {
        let hidden = Rc::clone(&self.hidden);
        Self { contents: Rc::clone(&self.contents), range: self.range, hidden }
    }
}

impl<E: Env> Table<E> {
    /// Opens table `id` of directory `dir`, of which `visible` can be seen, for whoever passes
    /// through it: none of its partitions is kept in memory.
    ///
    /// # Errors
    /// As of [`Table::open_among`].
    pub async fn open(
        env: &E,
        dir: &str,
        id: FileId,
        visible: TokenRange,
    ) -> Result<Self, TableError> {
        Self::open_among(env, dir, id, visible, &Residents::new(0)).await
    }

    /// Opens table `id` of directory `dir`, of which `visible` can be seen. Its partitions share
    /// memory with those of other tables; none is there yet.
    ///
    /// # Errors
    /// The disk refuses, or what is around blocks and partitions is not what was written. These are
    /// checked when they are read.
    pub async fn open_among(
        env: &E,
        dir: &str,
        id: FileId,
        visible: TokenRange,
        residents: &Rc<Residents>,
    ) -> Result<Self, TableError> {
        let path = format!("{dir}/{}", id.file_name());
        let file = env.open(&path, Open::Read).await;
        let file = file.map_err(TableError::io("cannot open", &path))?;
        let contents = Contents::<E>::read(file, path, id, residents).await?;
        let range = contents.footer.properties.tokens.intersection(visible);
        Ok(Self { contents: Rc::new(contents), range, hidden: Rc::default() })
    }

    /// The same table with another visible range.
    #[must_use]
    pub fn with_visible(&self, visible: TokenRange) -> Self {
        let range = self.contents.footer.properties.tokens.intersection(visible);
        Self { range, ..self.clone() }
    }

    /// The same table without the tokens of `hidden`, which are in order and no neighbours of each
    /// other.
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

    /// Whether something of `tokens` can be seen, if it has that.
    pub(crate) fn shows(&self, tokens: TokenRange) -> bool {
        let seen = self.range.and_then(|it| it.intersection(tokens));
        seen.is_some_and(|seen| self.hidden.is_empty() || !covers_all(&self.hidden, seen))
    }

    /// Whether something of partition `number` can be seen.
    pub(super) fn shows_partition(&self, number: usize) -> bool {
        self.shows(self.contents.top.tokens(number))
    }

    /// Whether something of block `block` of partition `number` can be seen.
    pub(super) fn shows_block(&self, number: usize, partition: &Partition, block: usize) -> bool {
        let tokens = partition.index().tokens(block);
        let tokens = tokens.intersection(self.contents.top.tokens(number));
        tokens.is_some_and(|tokens| self.shows(tokens))
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

    /// How many partitions it has, seen or not; at least 1.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.contents.top.len()
    }

    /// Where partition `number` is.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn partition_at(&self, number: usize) -> BlockAt {
        self.contents.top.at(number)
    }

    /// The partition that may have keys of `token`, seen or not; `None` if none has.
    #[inline]
    #[must_use]
    pub fn partition_of(&self, token: Token) -> Option<usize> {
        self.contents.top.find(token)
    }

    /// Keys that its filters cannot tell from others.
    #[must_use]
    pub fn unfiltered_keys(&self) -> u64 {
        self.contents.top.unfiltered_keys()
    }

    /// Where the blocks begin that are known from what is in memory, seen or not.
    pub(crate) fn block_offsets(&self) -> impl Iterator<Item = u64> {
        let partitions = (0..self.partitions()).filter_map(|it| self.contents.slots.get(it));
        partitions.flat_map(|it| it.blocks().map(|(at, _)| at.offset).collect::<Vec<_>>())
    }

    /// The tokens that may be lost with what is at byte `offset`, as far as they can be seen: those
    /// of a block, if one begins there and its partition is in memory, else those of a partition;
    /// all of the table's if it is neither.
    pub(crate) fn tokens_at(&self, offset: u64) -> Option<TokenRange> {
        let layout = self.layout();
        if offset >= layout.top.offset {
            return self.range;
        }
        let top = &self.contents.top;
        let number = top.at_offset(offset);
        let tokens = top.tokens(number);
        let block = self.contents.slots.get(number).and_then(|it| it.tokens_at(offset));
        let block = block.filter(|_| offset < layout.data_bytes);
        self.range?.intersection(block.and_then(|it| it.intersection(tokens)).unwrap_or(tokens))
    }

    /// Where it may have `key`, as far as it can be seen: said from memory.
    #[inline]
    #[must_use]
    pub fn probe(&self, key: &Key<'_>) -> Probe {
        if !self.is_seen(key.token) {
            return Probe::Absent;
        }
        let Some(number) = self.partition_of(key.token) else { return Probe::Absent };
        match self.contents.slots.ask(number, |partition| partition.probe(key)) {
            Some(Some(at)) => Probe::Block(at),
            Some(None) => Probe::Absent,
            None => Probe::Partition { number, at: self.contents.top.at(number) },
        }
    }

    /// Checks partition `number` in `cover`, what was read at its [`BlockAt::cover`].
    ///
    /// # Errors
    /// [`Corrupt`]: it is not what was written.
    pub fn partition(&self, number: usize, cover: &[u8]) -> Result<Partition, Corrupt> {
        let bytes = self.contents.top.at(number).in_cover(cover);
        self.contents.verify_partition(number, bytes)
    }

    /// Keeps partition `number` in memory, in the place of others if need be.
    pub(crate) fn keep(&self, number: usize, partition: &Rc<Partition>) {
        self.contents.slots.keep(number, partition);
    }

    /// Partition `number`, from memory or read.
    ///
    /// # Errors
    /// The disk refuses, or it is not what was written.
    ///
    /// # Panics
    /// If there are not so many.
    pub async fn read_partition(&self, number: usize) -> Result<Rc<Partition>, TableError> {
        let mut walk = PartitionWalk::new(&self.contents, number..number + 1);
        Ok(walk.next().await?.expect("it was asked for one"))
    }

    /// The block that holds `key`, if it has the key and it can be seen; `None` if it certainly has
    /// not. Asks no filter.
    ///
    /// # Errors
    /// As of [`Table::read_partition`].
    pub async fn locate(&self, key: &Key<'_>) -> Result<Option<BlockAt>, TableError> {
        match self.partition_of(key.token).filter(|_| self.is_seen(key.token)) {
            Some(number) => Ok(self.read_partition(number).await?.locate(key)),
            None => Ok(None),
        }
    }

    /// Has its partitions read, as far as there is room in memory that no other needs. One that
    /// cannot be read is passed over: who asks for it is told. Whether there was room.
    ///
    /// # Errors
    /// The disk refuses.
    pub async fn load(&self, env: &E) -> Result<bool, TableError> {
        let numbers = self.range.map_or(0..0, |range| self.contents.top.covering(range));
        let mut walk = PartitionWalk::new(&self.contents, numbers);
        loop {
            let number = walk.next_number();
            match walk.next().await {
                Ok(None) => return Ok(true),
                Ok(Some(partition)) => {
                    if !self.contents.slots.keep_if_room(number, &partition) {
                        return Ok(false);
                    }
                }
                Err(TableError::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
            env.pause().await;
        }
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

    /// The block at `at` is not what was written, as whoever passes through has found: that its
    /// partition is kept in memory tells which tokens are lost with it.
    pub(super) async fn found_corrupt(&self, at: BlockAt, what: &'static str) -> Corrupt {
        let number = self.contents.top.at_offset(at.offset);
        if let Ok(partition) = self.read_partition(number).await {
            self.keep(number, &partition);
        }
        self.corrupt(at, what)
    }

    fn corrupt(&self, at: BlockAt, what: &'static str) -> Corrupt {
        Corrupt { file: self.contents.path.clone(), offset: at.offset, what }
    }
}

impl<E: Env> Contents<E> {
    /// Reads all of a table but its blocks and partitions.
    async fn read(
        file: E::File,
        path: String,
        id: FileId,
        residents: &Rc<Residents>,
    ) -> Result<Self, TableError> {
        let io = || TableError::io("cannot read", &path);
        let corrupt = |offset, what| Corrupt { file: path.clone(), offset, what };
        let file_bytes = file.size().await.map_err(io())?;
        let page = file_bytes.checked_sub(ALIGN as u64);
        let page = page.filter(|_| file_bytes.is_multiple_of(ALIGN as u64));
        let page = page.ok_or_else(|| corrupt(file_bytes, "table cut off"))?;
        let last_page = read_span(&file, page, ALIGN).await.map_err(io())?;
        let footer = Footer::decode(&last_page, file_bytes, id, &path)?;
        let start = footer.top_at();
        let meta_len = (file_bytes - FOOTER_BYTES as u64 - start) as usize;
        let meta = read_span(&file, start, meta_len).await.map_err(io())?;
        if meta.len() < meta_len {
            return Err(corrupt(start + meta.len() as u64, "table cut off").into());
        }
        let decoded = decode_meta(&meta, &footer);
        let (top, actors) =
            decoded.map_err(|(at, what)| TableError::from(corrupt(start + at as u64, what)))?;
        let lists_bytes = top.memory_bytes() + size_of::<Actors>() + actors.memory_bytes();
        let slots = Slots::new(top.len(), size_of::<Self>() + lists_bytes, residents);
        let actors = Rc::new(actors);
        Ok(Self { id, path, file, file_bytes, footer, top, slots, actors })
    }

    /// Checks partition `number`, whose bytes are `bytes`; `None`: the file was cut.
    pub(super) fn verify_partition(
        &self,
        number: usize,
        bytes: Option<&[u8]>,
    ) -> Result<Partition, Corrupt> {
        let place = self.top.place(number);
        let partition = bytes.ok_or("file ends in a partition");
        let partition = partition.and_then(|it| Partition::verify(it, self.id, &place));
        let corrupt = |what| Corrupt { file: self.path.clone(), offset: place.at.offset, what };
        partition.map_err(corrupt)
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

/// Whether `ranges`, which are in order and no neighbours of each other, have all of `tokens`.
fn covers_all(ranges: &[TokenRange], tokens: TokenRange) -> bool {
    let at = ranges.partition_point(|it| it.last() < tokens.first());
    ranges.get(at).is_some_and(|it| it.intersection(tokens) == Some(tokens))
}

/// Checks and reads what is between partitions and footer; an error says what is wrong and where in
/// `meta`.
fn decode_meta(meta: &[u8], footer: &Footer) -> Result<(Top, Actors), (usize, &'static str)> {
    let [top, actors] = footer.ranges();
    let end = actors.end;
    let section = |section: Section, range: Range<usize>| {
        let (at, bytes) = (range.start, &meta[range]);
        let sound = checksum(footer.file.0, footer.top_at() + at as u64, bytes);
        (sound == section.crc.get())
            .then_some((at, bytes))
            .ok_or((at, "section does not match its sum"))
    };
    let (at, bytes) = section(footer.top, top)?;
    let top = Top::decode(bytes, footer.data_len, footer.partitions_len);
    let first = footer.properties.tokens.first();
    let top = top.filter(|it| it.tokens(0).first() == first);
    let top = top.ok_or((at, "list of partitions does not fit"))?;
    let (at, bytes) = section(footer.actors, actors)?;
    let actors = Actors::decode(bytes).ok_or((at, "list of actors does not fit"))?;
    let padding = meta[end..].iter().position(|&byte| byte != 0);
    match padding {
        Some(at) => Err((end + at, "padding is not zero")),
        None => Ok((top, actors)),
    }
}
