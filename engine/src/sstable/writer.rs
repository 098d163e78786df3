//! [`TableWriter`]: sorted records into a new table.
//!
//! - The file appears under its name only when it is whole and durable: it is written under a
//!   temporary one, synced, renamed, and then its directory is synced.
//! - The same records and id make the same bytes.

use std::rc::Rc;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::actors::ActorsBuilder;
use super::block::Block;
use super::block_builder::BlockBuilder;
use super::compression::compress;
use super::error::TableError;
use super::file_id::FileId;
use super::footer::{FOOTER_BYTES, Footer, Section};
use super::partition::PartitionsBuilder;
use super::properties::Properties;
use crate::env::{ALIGN, Env, Open};
use crate::integrity::checksum;
use crate::limits;
use crate::namespaces::Namespaces;
use crate::record::{Kind, LastKey, Record};
use crate::sequential::Sink;

/// What a finished table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableInfo {
    /// Its id.
    pub id: FileId,
    /// Its length in bytes.
    pub file_bytes: u64,
    /// CRC-32C of the whole file, as standard tools compute it.
    pub file_crc: u32,
    /// What it says of its records.
    pub properties: Properties,
}

/// Takes the blocks of a table while it is written: file, offset, block.
pub type KeepBlock = Rc<dyn Fn(FileId, u64, Block)>;

/// Writes a new table.
///
/// One that is dropped before it is finished leaves its temporary file behind;
/// [`TableWriter::abandon`] removes it.
pub struct TableWriter<E: Env> {
    env: E,
    dir: String,
    path: String,
    id: FileId,
    sink: Sink<E::File>,
    actors: ActorsBuilder,
    block: BlockBuilder,
    block_bytes: Vec<u8>,
    compressed: Vec<u8>,
    /// Whether the block that is being filled is to be compressed.
    compresses: bool,
    namespaces: Arc<Namespaces>,
    partitions: PartitionsBuilder,
    properties: Option<Properties>,
    last: LastKey,
    keep: Option<KeepBlock>,
}

/// The name under which the table at `path` is written.
fn temporary(path: &str) -> String {
    format!("{path}.tmp")
}

impl<E: Env> TableWriter<E> {
    /// Begins table `id` in directory `dir`.
    ///
    /// # Errors
    /// [`TableError::Io`], also if a temporary file of that id is there.
    pub async fn create(env: &E, dir: &str, id: FileId) -> Result<Self, TableError> {
        let path = format!("{dir}/{}", id.file_name());
        let file = env.open(&temporary(&path), Open::Create).await;
        let file = file.map_err(TableError::io("cannot make", &path))?;
        Ok(Self {
            env: env.clone(),
            dir: dir.to_owned(),
            path,
            id,
            sink: Sink::new(file),
            actors: ActorsBuilder::default(),
            block: BlockBuilder::default(),
            block_bytes: Vec::new(),
            compressed: Vec::new(),
            compresses: false,
            namespaces: Arc::default(),
            partitions: PartitionsBuilder::default(),
            properties: None,
            last: LastKey::default(),
            keep: None,
        })
    }

    /// Gives every block to `keep` as well, for whoever wants to read it soon.
    #[must_use]
    pub fn keeping(mut self, keep: Option<KeepBlock>) -> Self {
        self.keep = keep;
        self
    }

    /// Compresses the blocks of namespaces that ask for it.
    #[must_use]
    pub fn compressing(mut self, namespaces: &Arc<Namespaces>) -> Self {
        self.namespaces = Arc::clone(namespaces);
        self
    }

    /// Bytes of whole blocks so far.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.sink.position()
    }

    /// Records so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.properties.map_or(0, |it| it.records)
    }

    /// Adds `record`, whose key sorts after all that are there.
    ///
    /// # Errors
    /// The disk refuses, or the table is full. The table can only be abandoned then.
    ///
    /// # Panics
    /// If the record is out of order or over its limits.
    pub async fn add(&mut self, record: &Record<'_>) -> Result<(), TableError> {
        let key = &record.key;
        assert!(self.last.key().is_none_or(|last| last < *key), "records come in order");
        assert!((1..=limits::KEY_BYTES_MAX).contains(&key.bytes.len()), "a key within its limit");
        assert!(record.value.len() <= limits::VALUE_BYTES_MAX, "a value within its limit");
        assert!(
            record.kind != Kind::Tombstone || record.value.is_empty(),
            "tombstones have no value"
        );
        let tie = self.last.key().is_some_and(|last| last.token == key.token);
        if !self.block.is_empty() {
            let ends = self.block.len_max_with(record) > limits::BLOCK_BYTES_TARGET;
            let partition_ends = !tie && self.partitions.is_full(ends);
            if ends || partition_ends {
                self.end_block().await?;
            }
            if partition_ends {
                self.end_partition().await?;
            }
        }
        if self.block.is_empty() {
            let offset = self.sink.position();
            let block_end = offset + self.block.len_max_with(record).max(ALIGN) as u64;
            let room = block_end <= limits::TABLE_DATA_BYTES_MAX;
            let offset = u32::try_from(offset).ok().filter(|_| room);
            let offset = offset.ok_or_else(|| self.full("more records"))?;
            self.partitions.push_block(key, offset, tie);
        }
        let actor = self.actors.index_of(record.version.dot.actor);
        self.block.push(record, actor.ok_or_else(|| self.full("another actor"))?);
        self.compresses |= self.namespaces.is_compressed(key.namespace);
        let properties = Properties::of(record);
        self.properties = Some(self.properties.map_or(properties, |it| it.and(properties)));
        self.last.set(key);
        self.partitions.push_key(key);
        Ok(())
    }

    /// Ends the table and makes it durable under its name.
    ///
    /// # Errors
    /// The disk refuses. What there is of the table is removed, now if the disk lets it, or at the
    /// next start.
    ///
    /// # Panics
    /// If it has no records: there is no empty table.
    pub async fn finish(mut self) -> Result<TableInfo, TableError> {
        let finished = self.write_rest().await;
        if finished.is_err() {
            let (temporary, path) = (temporary(&self.path), &self.path);
            for name in [&temporary, path] {
                // It may be under either name, and nothing more can be done about it here.
                drop(self.env.remove(name).await);
            }
        }
        finished
    }

    async fn write_rest(&mut self) -> Result<TableInfo, TableError> {
        let properties = self.properties.expect("a table has records");
        self.end_block().await?;
        self.end_partition().await?;
        let data_len = u32::try_from(self.sink.position()).expect("checked with each block");
        let top = self.put_partitions().await?;
        let partitions_len = self.sink.position() - u64::from(data_len);
        let partitions_len = u32::try_from(partitions_len).map_err(|_| self.full("its index"))?;
        let actors = std::mem::take(&mut self.actors);
        let footer = Footer {
            properties,
            file: self.id,
            data_len,
            partitions_len,
            top: self.put_section(&top).await?,
            actors: self.put_section(actors.bytes()).await?,
        };
        let footer_bytes = FOOTER_BYTES as u64;
        let end = (self.sink.position() + footer_bytes).next_multiple_of(ALIGN as u64);
        let write = async {
            self.sink.pad_to(end - footer_bytes).await?;
            self.sink.put(&footer.encode(end - footer_bytes)).await?;
            self.sink.finish().await?;
            self.env.rename(&temporary(&self.path), &self.path).await?;
            self.env.sync_dir(&self.dir).await
        };
        write.await.map_err(TableError::io("cannot finish", &self.path))?;
        Ok(TableInfo { id: self.id, file_bytes: end, file_crc: self.sink.crc(), properties })
    }

    /// Writes the partitions, each with its sum, and gives the list of them.
    async fn put_partitions(&mut self) -> Result<Vec<u8>, TableError> {
        let partitions = std::mem::take(&mut self.partitions);
        for number in 0..partitions.entries().len() {
            let body = partitions.body(number);
            let sum = checksum(self.id.0, self.sink.position(), body).to_le_bytes();
            for bytes in [body, &sum[..]] {
                let put = self.sink.put(bytes).await;
                put.map_err(TableError::io("cannot write", &self.path))?;
            }
            self.env.pause().await;
        }
        Ok(partitions.entries().as_bytes().to_vec())
    }

    async fn put_section(&mut self, bytes: &[u8]) -> Result<Section, TableError> {
        let crc = checksum(self.id.0, self.sink.position(), bytes).into();
        let len = u32::try_from(bytes.len()).map_err(|_| self.full("its index"))?.into();
        self.sink.put(bytes).await.map_err(TableError::io("cannot write", &self.path))?;
        Ok(Section { len, crc })
    }

    /// Gives the table up and removes its temporary file.
    ///
    /// # Errors
    /// The disk refuses; the file is removed at the next start.
    pub async fn abandon(self) -> Result<(), TableError> {
        let Self { env, path, sink, .. } = self;
        drop(sink);
        env.remove(&temporary(&path)).await.map_err(TableError::io("cannot remove", &path))
    }

    async fn end_block(&mut self) -> Result<(), TableError> {
        let offset = self.sink.position();
        self.block.finish(self.id, offset, &mut self.block_bytes);
        if let Some(keep) = &self.keep {
            keep(self.id, offset, Block::built(&self.block_bytes, self.actors.so_far()));
        }
        let is_shorter = std::mem::take(&mut self.compresses)
            && compress(&self.block_bytes, self.id, offset, &mut self.compressed);
        let bytes = if is_shorter { &self.compressed } else { &self.block_bytes };
        let put = self.sink.put(bytes).await;
        put.map_err(TableError::io("cannot write", &self.path))?;
        self.env.pause().await;
        Ok(())
    }

    async fn end_partition(&mut self) -> Result<(), TableError> {
        self.partitions.end_partition().ok_or_else(|| self.full("its index"))?;
        self.env.pause().await;
        Ok(())
    }

    fn full(&self, what: &'static str) -> TableError {
        TableError::Full { file: self.path.clone(), what }
    }
}
