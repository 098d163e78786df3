//! Manifests: frame by frame, and the tables they add up to.

use std::io::Write;
use std::path::Path;

use engine::inspect::{ReadOnly, Shards, now};
use engine::manifest::{
    FrameAt, FrameContent, Hole, Listing, Manifest, TableEntry, Version, VersionEdit,
};
use serde_json::{Value, json};

use super::told::{Told, sentence, token, tokens};

/// Shows the manifest of the shard at `path`, or those of all shards of a data directory.
///
/// # Errors
/// The directory is in use, or the output cannot be written.
pub(super) fn show<W: Write>(path: &Path, told: &mut Told<W>) -> anyhow::Result<()> {
    let shards = Shards::of(path).map_err(sentence)?;
    let env = ReadOnly::new(&*shards.root);
    for dir in &shards.dirs {
        match now(Manifest::list(&env, dir)) {
            Ok(listing) => {
                told.tell(|| text(&listing), || json(&listing))?;
                if let Err(error) = listing.version {
                    told.found(&error.into())?;
                }
            }
            Err(error) => told.found(&error.into())?,
        }
    }
    Ok(())
}

fn text(listing: &Listing) -> String {
    let Listing { file, file_bytes, incarnation, base_frames, frames, version } = listing;
    let mut text = format!(
        "{file}: manifest, {file_bytes} bytes, incarnation {incarnation:016x}, base frames \
         {base_frames}\n\n       offset       bytes  frame\n"
    );
    frames.iter().for_each(|frame| text += &frame_text(frame));
    if let Ok(version) = version {
        text += &version_text(version);
    }
    text
}

fn frame_text(frame: &FrameAt) -> String {
    let FrameAt { offset, bytes, content } = frame;
    let mut text = format!("  {offset:>11} {bytes:>11}  ");
    match content {
        FrameContent::Zeros => text += "zeros\n",
        FrameContent::Unsound => text += "no frame whose sum agrees: damaged or torn\n",
        FrameContent::Seal(number) => text += &format!("{number} seal, sum agrees\n"),
        FrameContent::Edit(number, None) => {
            text += &format!("{number} sum agrees, and it is no edit\n");
        }
        FrameContent::Edit(number, Some(edit)) => {
            text += &format!("{number} edit, sum agrees");
            if let Some(flushed) = edit.flushed {
                text += &format!(", flushed {flushed}");
            }
            if let Some(number) = edit.clocks {
                text += &format!(", clocks {number}");
            }
            if edit.purged != 0 {
                text += &format!(", purged {:08x}", edit.purged);
            }
            text += &format!(", file numbers from {}\n", edit.file_numbers);
            for id in &edit.dropped {
                text += &format!("    - {id}\n");
            }
            edit.added.iter().for_each(|entry| text += &table_text('+', entry));
            edit.holes.iter().for_each(|hole| text += &hole_text(hole));
        }
    }
    text
}

fn table_text(mark: char, entry: &TableEntry) -> String {
    let TableEntry { id, level, visible, file_bytes, file_crc, properties, .. } = entry;
    let (tokens, records) = (tokens(*visible), properties.records);
    format!(
        "    {mark} {id} level {level}, tokens {tokens}, {file_bytes} bytes, crc {file_crc:08x}, \
         {records} records\n"
    )
}

fn hole_text(hole: &Hole) -> String {
    format!("      hole: tokens {}, in files before {}\n", tokens(hole.tokens), hole.before)
}

fn version_text(version: &Version) -> String {
    let (count, flushed) = (version.tables().count(), version.flushed());
    let next = version.next_file_number();
    let mut text =
        format!("\n  version: tables {count}, flushed {flushed}, file numbers from {next}\n");
    version.tables().for_each(|entry| text += &table_text(' ', entry));
    version.holes().iter().for_each(|hole| text += &hole_text(hole));
    text
}

fn json(listing: &Listing) -> Value {
    let version = listing.version.as_ref().ok().map(|version| {
        json!({
            "flushed": version.flushed(),
            "next_file_number": version.next_file_number(),
            "purged": format!("{:08x}", version.purged()),
            "tables": version.tables().map(|entry| table_json(entry)).collect::<Vec<_>>(),
            "holes": version.holes().iter().map(hole_json).collect::<Vec<_>>(),
        })
    });
    json!({ "manifest": {
        "file": listing.file,
        "bytes": listing.file_bytes,
        "incarnation": format!("{:016x}", listing.incarnation),
        "base_frames": listing.base_frames,
        "frames": listing.frames.iter().map(frame_json).collect::<Vec<_>>(),
        "version": version,
    }})
}

fn frame_json(frame: &FrameAt) -> Value {
    let (state, number, edit) = match &frame.content {
        FrameContent::Zeros => ("zeros", None, None),
        FrameContent::Unsound => ("unsound", None, None),
        FrameContent::Seal(number) => ("seal", Some(number), None),
        FrameContent::Edit(number, edit) => ("edit", Some(number), edit.as_ref()),
    };
    json!({
        "offset": frame.offset,
        "bytes": frame.bytes,
        "state": state,
        "sequence": number,
        "edit": edit.map(edit_json),
    })
}

fn edit_json(edit: &VersionEdit) -> Value {
    json!({
        "flushed": edit.flushed,
        "clocks": edit.clocks,
        "file_numbers": edit.file_numbers,
        "purged": format!("{:08x}", edit.purged),
        "dropped": edit.dropped.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "added": edit.added.iter().map(table_json).collect::<Vec<_>>(),
        "holes": edit.holes.iter().map(hole_json).collect::<Vec<_>>(),
    })
}

fn hole_json(hole: &Hole) -> Value {
    json!({
        "first": token(hole.tokens.first().0),
        "last": token(hole.tokens.last().0),
        "before": hole.before.to_string(),
    })
}

fn table_json(entry: &TableEntry) -> Value {
    json!({
        "id": entry.id.to_string(),
        "level": entry.level,
        "visible_first": token(entry.visible.first().0),
        "visible_last": token(entry.visible.last().0),
        "bytes": entry.file_bytes,
        "crc32c": format!("{:08x}", entry.file_crc),
        "as_of": entry.as_of.to_string(),
        "records": entry.properties.records,
        "tombstones": entry.properties.tombstones,
    })
}
