//! Namespaces that come, change and go.

use schemas::ids::NamespaceId;

use super::{ChangeRefused, Settings};
use crate::topology::ring::State;
use crate::topology::{DataCentre, Document, Namespace, Phase, Policy, Slot};

impl Document {
    pub(super) fn create_namespace(
        &mut self,
        name: Box<str>,
        policy: Policy,
        settings: Settings,
    ) -> Result<(), ChangeRefused> {
        let Settings { replication, is_strict, ttl_ms } = settings;
        self.check_data_centres(&replication)?;
        let id = self.last_namespace.0.checked_add(1).ok_or(ChangeRefused::NoNamespaceId)?;
        let id = NamespaceId(id);
        self.last_namespace = id;
        let namespace =
            Namespace { id, name, policy, replication, former: None, is_strict, ttl_ms };
        self.namespaces.push(namespace);
        Ok(())
    }

    pub(super) fn alter_namespace(
        &mut self,
        id: NamespaceId,
        settings: Settings,
    ) -> Result<(), ChangeRefused> {
        let at = self.place_of(id)?;
        let Settings { replication, is_strict, ttl_ms } = settings;
        if replication != self.namespaces[at].replication {
            self.check_data_centres(&replication)?;
            if let Some(other) = self.namespaces.iter().find(|it| it.former.is_some()) {
                return Err(ChangeRefused::Altering(other.id));
            }
            let is_settling = |it: &_| self.ring.phase(*it) == Phase::Settling;
            if let Some(vnode) = self.ring.all().find(is_settling) {
                return Err(ChangeRefused::Settling(vnode));
            }
            for vnode in self.ring.all() {
                let slots: Vec<Slot> = self.ring.slots(vnode).collect();
                let (epoch, phase) = (self.epoch, Phase::Moving);
                self.ring.put(vnode, &slots, State { epoch, phase, is_altering: true });
            }
            let namespace = &mut self.namespaces[at];
            namespace.former = Some(std::mem::replace(&mut namespace.replication, replication));
        }
        let namespace = &mut self.namespaces[at];
        (namespace.is_strict, namespace.ttl_ms) = (is_strict, ttl_ms);
        Ok(())
    }

    pub(super) fn drop_namespace(&mut self, id: NamespaceId) -> Result<(), ChangeRefused> {
        let at = self.place_of(id)?;
        self.namespaces.remove(at);
        Ok(())
    }

    fn place_of(&self, id: NamespaceId) -> Result<usize, ChangeRefused> {
        let found = self.namespaces.binary_search_by(|it| it.id.cmp(&id));
        found.map_err(|_| ChangeRefused::UnknownNamespace(id))
    }

    /// A slip of the pen would make copies that nobody is there to have.
    fn check_data_centres(&self, replication: &[DataCentre]) -> Result<(), ChangeRefused> {
        let is_there =
            |dc: &DataCentre| self.members.iter().any(|it| it.dc == dc.name && it.standing.stays());
        match replication.iter().find(|dc| !is_there(dc)) {
            Some(dc) => Err(ChangeRefused::UnknownDataCentre(dc.name.clone())),
            None => Ok(()),
        }
    }
}
