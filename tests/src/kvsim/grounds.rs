//! Where mistakes are looked for: runs as seeds draw them, or a scenario in which what a mistake
//! does is not soon mended by something else.

use cluster::mutation::Mutation;

use crate::scenario::Recipe;

/// The recipe to look for a mistake with, and the name of its scenario if it has one.
#[must_use]
pub(super) fn ground(mutation: Mutation) -> (Recipe, Option<&'static str>) {
    let (name, text) = match mutation {
        Mutation::ForgetSentHint | Mutation::ForgetHintsAtStart => {
            ("owners-away", include_str!("../../scenarios/owners-away.toml"))
        }
        Mutation::HintsReplaceNewer | Mutation::DropNewerHint => {
            ("hints-overtaken", include_str!("../../scenarios/hints-overtaken.toml"))
        }
        Mutation::RepairWithoutWaiting => {
            ("slow-node", include_str!("../../scenarios/slow-node.toml"))
        }
        Mutation::JoinLaterClock => {
            ("comparisons-in-pages", include_str!("../../scenarios/comparisons-in-pages.toml"))
        }
        Mutation::LossKeepsClock | Mutation::ServeNotHeld => {
            ("disks-lose-part", include_str!("../../scenarios/disks-lose-part.toml"))
        }
        Mutation::VoidWithoutGivers => {
            ("hints-late", include_str!("../../scenarios/hints-late.toml"))
        }
        Mutation::PromiseIgnoresHints => {
            ("hints-below-horizons", include_str!("../../scenarios/hints-below-horizons.toml"))
        }
        Mutation::LateRecordIsStored | Mutation::CopyBelowHorizonServes => {
            ("given-up", include_str!("../../scenarios/given-up.toml"))
        }
        Mutation::ServeOldEpoch => {
            ("moves-slow-nodes", include_str!("../../scenarios/moves-slow-nodes.toml"))
        }
        Mutation::FinishEarly => {
            ("moves-cut-in-two", include_str!("../../scenarios/moves-cut-in-two.toml"))
        }
        Mutation::DecideWithMinority | Mutation::ForgetPromise | Mutation::DocumentGoesBack => {
            ("voters-crash", include_str!("../../scenarios/voters-crash.toml"))
        }
        _ => return (Recipe::default(), None),
    };
    (Recipe { file: Some(text.to_owned()), ..Recipe::default() }, Some(name))
}
