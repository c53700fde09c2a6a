//! What tells one model of one seed from all others of a run.

/// Which model of which seed: where its metrics, its checkpoint and its row belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunKey<'a> {
    /// The seed.
    pub seed: u64,
    /// The model, or a name that tells a row from all others of its seed.
    pub name: &'a str,
}
