//! Namespaces that are altered, created and dropped during a run.

use cluster::topology::{Change, DataCentre, Document, Policy, Settings};
use schemas::ids::NamespaceId;

use super::faults::What;
use super::options::Options;
use super::places::{Levels, Places};
use super::topology::{LWW, SIBLINGS};

/// The change of namespaces that `what` is to `document`; `None` if it is none, or nothing is left
/// to be done.
///
/// A namespace keeps a copy in the first data centre, where clients of the level `local` are. With
/// levels that are numbers it has no more copies in all than at the start: more would not meet.
pub(super) fn change(options: &Options, document: &Document, what: &What) -> Option<Change> {
    match *what {
        What::Alter { siblings, data_centre, copies } => {
            let id = if siblings { SIBLINGS } else { LWW };
            let namespace = document.namespace(id)?;
            let place = options.places.of(data_centre);
            let replication = with(&namespace.replication, place, copies);
            let total =
                |list: &[DataCentre]| list.iter().map(|dc| u32::from(dc.copies)).sum::<u32>();
            let too_many = options.places.levels == Levels::Counts
                && total(&replication) > total(&Places::layout(options));
            if too_many || replication == namespace.replication {
                return None;
            }
            let (is_strict, ttl_ms) = (namespace.is_strict, namespace.ttl_ms);
            let settings = Settings { replication, is_strict, ttl_ms };
            Some(Change::AlterNamespace { id, settings })
        }
        What::Create { siblings, copies } => {
            let places = 0..usize::from(options.places.data_centres);
            let dc = |place| DataCentre { name: Places::name(place).into(), copies };
            let replication = places.map(dc).collect();
            let name = format!("created{}", document.last_namespace.0).into();
            let policy = if siblings { Policy::Siblings } else { Policy::LastWriterWins };
            let settings = Settings { replication, is_strict: false, ttl_ms: 0 };
            Some(Change::CreateNamespace { name, policy, settings })
        }
        What::Drop => created(document).next().map(|it| Change::DropNamespace(it.0)),
        _ => None,
    }
}

/// The namespaces that were created during the run, with their policies and all their copies.
pub(super) fn created(document: &Document) -> impl Iterator<Item = (NamespaceId, Policy, u8)> {
    let created = document.namespaces.iter().filter(|it| it.id > SIBLINGS);
    created.map(|it| (it.id, it.policy, it.replication.iter().map(|dc| dc.copies).sum()))
}

fn with(replication: &[DataCentre], place: usize, copies: u8) -> Vec<DataCentre> {
    let name = Places::name(place);
    let others = replication.iter().filter(|dc| *dc.name != *name).cloned();
    let copies = if place == 0 { copies.max(1) } else { copies };
    let own = (copies > 0).then(|| DataCentre { name: name.into(), copies });
    let mut all: Vec<DataCentre> = others.chain(own).collect();
    all.sort();
    all
}
