//! What a run needs to go on, in a file that anyone's safetensors library can read.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::packed_bits::{pack, unpack};
use crate::{GeneratorState, all_finite, format1, replace_file, seal};

/// Named tensors: what a rule, a readout or a whole run consists of.
pub type State = BTreeMap<String, Tensor>;

/// The version of the file's layout that this crate writes. It reads those before it too.
pub const FORMAT: u32 = 3;

/// The one metadata entry of the file. One, since safetensors keeps metadata in a hash map, whose order would make
/// the bytes of two equal checkpoints differ.
const ENTRY: &str = "hebbian";

/// How the entry lies in a file, up to the checksum of all bytes of the file.
const SEAL: &str = r#""hebbian":"{\"checksum\":\""#;
/// The first format with a checksum.
const SEALED: u64 = 3;

/// Tensors, and what they are.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Which rule, how it was configured, how far it came.
    pub metadata: Metadata,
    /// The tensors by name: `rule.weights (units, inputs)`, `readout.weight (classes, units)`, ...
    pub tensors: State,
}

/// All that a checkpoint says beside its tensors. No paths, devices or thread counts, and no times but
/// [`UnderWay::seconds`]: equal runs give equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The version of the layout, see [`FORMAT`].
    pub format: u32,
    /// The rule's name, `krotov-hopfield`.
    pub rule: String,
    /// The rule's config.
    pub config: Value,
    /// How the rule was trained; none for a rule that no training made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// Tensors of zeros and ones that lie in the file as bits, `numpy.packbits(tensor, axis=1)`, and how many columns each
    /// has. In memory they are f32 like all others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bits: BTreeMap<String, usize>,
    /// What the rule is part of: how its inputs are prepared and what its outputs are for. Whoever makes models of rules
    /// writes and reads it; a training has no use for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Value>,
    /// What those who watch a training must know again to go on watching in the middle of an epoch, such as the line of
    /// metrics that is not finished; their tensors lie under `notes`. Whoever watches writes and reads it; a training has no
    /// use for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Value>,
}

/// Where a training stands: what it takes to go on exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// How the rule is trained: whatever a resumed run must agree with.
    pub fit: Value,
    /// Epochs finished.
    pub epoch: usize,
    /// Steps taken.
    pub step: usize,
    /// Where the generator of the shuffles stood when the epoch began: it draws the same order of the inputs again.
    pub generator: GeneratorState,
    /// How far the epoch has come; none between two epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way: Option<UnderWay>,
    /// Which run it is part of, where whoever runs it gives it a name. The training goes on in no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// An epoch that has begun and not ended: what its report must know of the steps behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnderWay {
    /// Steps taken in it.
    pub step: usize,
    /// Wall time of these steps, in seconds. It is the one time in a checkpoint, since the epoch's report would lack it
    /// otherwise; it is gone when the epoch ends.
    pub seconds: f64,
    /// What they measured.
    pub measures: Vec<RunningMeasure>,
    /// How often each unit won in them, `(units)`; none for a rule without winners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wins: Option<Vec<u32>>,
}

/// One measure over the steps of an epoch so far. Its numbers are f32: what is written of an f64 comes back to the bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningMeasure {
    /// Its name, `largest_update`.
    pub name: String,
    /// The sum.
    pub total: f64,
    /// The largest.
    pub largest: f64,
}

/// Why a checkpoint was not written or read. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("checkpoint {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file is not what a checkpoint must be.
    #[error("checkpoint {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<CheckpointError> for candle_core::Error {
    fn from(error: CheckpointError) -> Self {
        candle_core::Error::wrap(error)
    }
}

impl Checkpoint {
    /// A rule called `rule`, of a `config` and a `state`.
    pub fn new(rule: &str, config: Value, state: State) -> Self {
        let metadata = Metadata {
            format: FORMAT,
            rule: rule.to_owned(),
            config,
            training: None,
            bits: BTreeMap::new(),
            model: None,
            notes: None,
        };
        let mut checkpoint = Self { metadata, tensors: State::new() };
        checkpoint.add("rule", state);
        checkpoint
    }

    /// Writes the checkpoint in the place of the file at `path`, which is there whole at every moment.
    ///
    /// # Errors
    /// If a tensor holds a value that is not finite, or the file system refuses.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let finite = self.tensors.iter().try_for_each(|(name, tensor)| check_finite(name, tensor));
        let bytes = finite
            .and_then(|()| self.to_bytes())
            .map_err(|reason| CheckpointError::Malformed { path: path.to_owned(), reason })?;
        replace_file(path, &bytes).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// What cannot be written, in words.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let metadata = serde_json::to_string(&self.metadata).map_err(|error| error.to_string())?;
        let metadata = HashMap::from([(ENTRY.to_owned(), seal::blank(&metadata))]);
        let mut tensors = self.tensors.clone();
        for name in self.metadata.bits.keys() {
            let Some(tensor) = tensors.get_mut(name) else { continue };
            *tensor = pack(tensor).map_err(|error| format!("tensor `{name}` {error}"))?;
        }
        let mut bytes =
            safetensors::serialize(&tensors, Some(metadata)).map_err(|error| error.to_string())?;
        let at = seal_of(&bytes).ok_or("its metadata have no room for a checksum")?;
        seal::seal(&mut bytes, at);
        Ok(bytes)
    }

    /// Reads the checkpoint at `path` and moves its tensors to `device`. What was saved as f16 comes as f32.
    ///
    /// Whatever the bytes, this ends with a checkpoint of this [`FORMAT`] whose tensors are finite, or with an error
    /// that says what is wrong, a bit that flipped among it. A file of an earlier format, which has no checksum, is read as if it
    /// had been written today. What the tensors must be called
    /// and how large they must be, their owner knows.
    pub fn load(path: &Path, device: &Device) -> Result<Self, CheckpointError> {
        let bytes =
            std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes, device)
            .map_err(|reason| CheckpointError::Malformed { path: path.to_owned(), reason })
    }

    /// The checkpoint of which these are the file's bytes, as [`load`](Self::load) reads it.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, String> {
        let not_safetensors = |error| format!("not a safetensors file: {error}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
        let entry = header.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        let entry = entry.ok_or_else(|| format!("no metadata entry `{ENTRY}`: another program wrote it"))?;
        let metadata = parse_metadata(entry, || match seal_of(bytes) {
            Some(at) => seal::check("", bytes, at),
            None => Err("it has no checksum".to_owned()),
        })?;
        let file = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
        let tensors = file.iter().map(|(name, view)| {
            let tensor = widened(view.load(&Device::Cpu), metadata.bits.get(name))
                .and_then(|tensor| tensor.to_device(device))
                .map_err(|error| format!("tensor `{name}`: {}", first_line(&error)))?;
            check_finite(name, &tensor)?;
            Ok((name.to_owned(), tensor))
        });
        let tensors = tensors.collect::<Result<_, String>>()?;
        Ok(Self { metadata, tensors })
    }

    /// Adds the tensors of `state`, their names with `prefix` and a dot before them: what [`part`](Self::part) gives back.
    pub fn add(&mut self, prefix: &str, state: State) {
        let named = state.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor));
        self.tensors.extend(named);
    }

    /// The tensors whose names begin with `prefix` and a dot, without both.
    pub fn part(&self, prefix: &str) -> State {
        let named = self.tensors.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((name.to_owned(), tensor.clone()))
        });
        named.collect()
    }
}

/// A tensor as it is worked with, from how it lies in a file that was made small.
fn widened(tensor: candle_core::Result<Tensor>, bits: Option<&usize>) -> candle_core::Result<Tensor> {
    let tensor = tensor?;
    match bits {
        Some(&columns) => unpack(&tensor, columns),
        None if tensor.dtype() == DType::F16 => tensor.to_dtype(DType::F32),
        None => Ok(tensor),
    }
}

/// candle's errors may carry a backtrace below what they say.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Where in the `bytes` of a file the checksum lies.
fn seal_of(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let at = header.windows(SEAL.len()).position(|part| part == SEAL.as_bytes())?;
    Some(length.len() + at + SEAL.len())
}

/// The metadata in the text of the entry; `check` the checksum that they have from format 3 on.
fn parse_metadata(entry: &str, check: impl Fn() -> Result<(), String>) -> Result<Metadata, String> {
    let invalid = |error: serde_json::Error| format!("metadata: {error}");
    let mut value: Value = serde_json::from_str(entry).map_err(invalid)?;
    let format = value.get("format").and_then(Value::as_u64).ok_or("metadata: no format number")?;
    let checksum = value.as_object_mut().and_then(|fields| fields.remove("checksum"));
    if checksum.is_some() || format == SEALED {
        check()?;
    }
    let metadata = match format {
        1 => format1::upgraded(value),
        2 | SEALED => serde_json::from_value(value),
        format => return Err(format!("format {format}, but this version reads formats 1 to {FORMAT}")),
    };
    metadata.map(|metadata| Metadata { format: FORMAT, ..metadata }).map_err(invalid)
}

fn check_finite(name: &str, tensor: &Tensor) -> Result<(), String> {
    match all_finite(tensor) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("tensor `{name}` holds a value that is not finite")),
        Err(error) => Err(format!("tensor `{name}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;
    use candle_core::DType;
    use proptest::prelude::*;

    fn checkpoint() -> Checkpoint {
        let weights = Generator::new(0, "test").normal((3, 4), 0.0, 1.0, &Device::Cpu).unwrap();
        let bias = Tensor::new(&[1u32, 2], &Device::Cpu).unwrap();
        let config = serde_json::json!({"units": 3, "p": 2.5});
        let mut checkpoint =
            Checkpoint::new("krotov-hopfield", config, State::from([("weights".into(), weights)]));
        checkpoint.add("readout", State::from([("bias".into(), bias)]));
        checkpoint.metadata.training = Some(Training {
            fit: serde_json::json!({"epochs": 20}),
            epoch: 2,
            step: 1200,
            generator: Generator::new(u64::MAX, "shuffle").state(),
            under_way: Some(UnderWay {
                step: 17,
                seconds: 0.1 + 0.2,
                measures: vec![RunningMeasure {
                    name: "largest_update".into(),
                    total: f64::from(0.1f32),
                    largest: f64::from(f32::MIN_POSITIVE),
                }],
                wins: Some(vec![0, u32::MAX]),
            }),
            run: Some("of these settings".into()),
        });
        checkpoint.metadata.notes = Some(serde_json::json!({"watched": [1.0 / 3.0]}));
        checkpoint.metadata.model = Some(serde_json::json!({"image": [2, 2, 1]}));
        checkpoint
    }

    fn written() -> Vec<u8> {
        checkpoint().to_bytes().unwrap()
    }

    fn reason(bytes: &[u8]) -> String {
        Checkpoint::from_bytes(bytes, &Device::Cpu).unwrap_err()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let loaded = Checkpoint::from_bytes(&written(), &Device::Cpu).unwrap();
        assert_eq!(loaded.metadata, checkpoint().metadata);
        let weights = |checkpoint: &Checkpoint| checkpoint.part("rule")["weights"].to_vec2::<f32>().unwrap();
        assert_eq!(weights(&loaded), weights(&checkpoint()));
        assert_eq!(loaded.part("readout").len(), 1);
    }

    #[test]
    fn halves_are_loaded_as_f32_and_bits_as_zeros_and_ones() {
        let mut small = checkpoint();
        let halves = small.tensors["rule.weights"].to_dtype(DType::F16).unwrap();
        let ones = Tensor::new(&[[0f32, 1.0, 1.0], [1.0, 0.0, 0.0]], &Device::Cpu).unwrap();
        small.tensors.insert("rule.weights".into(), halves.clone());
        small.tensors.insert("rule.pool".into(), ones.clone());
        small.metadata.bits.insert("rule.pool".into(), 3);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.safetensors");
        small.save(&path).unwrap();
        let loaded = Checkpoint::load(&path, &Device::Cpu).unwrap();
        assert_eq!(loaded.metadata, small.metadata);
        let expected = halves.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(loaded.tensors["rule.weights"].to_vec2::<f32>().unwrap(), expected);
        assert_eq!(loaded.tensors["rule.pool"].to_vec2::<f32>().unwrap(), ones.to_vec2::<f32>().unwrap());

        small.metadata.bits.insert("rule.pool".into(), 30);
        small.metadata.bits.insert("rule.weights".into(), 4);
        let refused = small.save(&path).unwrap_err().to_string();
        assert!(refused.contains("tensor `rule.weights` holds"), "{refused}");
    }

    #[test]
    fn a_checkpoint_from_before_an_epoch_could_be_under_way_is_loaded_and_one_between_two_epochs_is_written_like_it()
     {
        let mut between = checkpoint();
        between.metadata.notes = None;
        let training = between.metadata.training.as_mut().unwrap();
        (training.under_way, training.run) = (None, None);
        let written = serde_json::to_string(&between.metadata).unwrap();
        assert_eq!(
            written,
            "{\"format\":3,\"rule\":\"krotov-hopfield\",\"config\":{\"p\":2.5,\"units\":3},\"training\":{\"fit\":{\"epochs\":20},\
             \"epoch\":2,\"step\":1200,\"generator\":{\"seed\":18446744073709551615,\"stream\":5151100648028894894,\
             \"position\":0}},\"model\":{\"image\":[2,2,1]}}"
        );
        let before = written.replace("\"format\":3", "\"format\":2");
        assert_eq!(parse_metadata(&before, || Err("unasked".to_owned())).unwrap(), between.metadata);
    }

    #[test]
    fn equal_checkpoints_have_equal_bytes() {
        assert_eq!(written(), written());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Checkpoint::load(Path::new("nowhere/checkpoint.safetensors"), &Device::Cpu).unwrap_err();
        assert!(error.to_string().starts_with("checkpoint nowhere/checkpoint.safetensors: "), "{error}");
    }

    #[test]
    fn another_programs_file_is_refused() {
        let tensor = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
        let bytes = safetensors::serialize([("weights", &tensor)], None).unwrap();
        assert!(reason(&bytes).contains("no metadata entry"), "{}", reason(&bytes));
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let mut other = checkpoint();
        other.metadata.format = 4;
        let refused = reason(&other.to_bytes().unwrap());
        assert_eq!(refused, "format 4, but this version reads formats 1 to 3");
    }

    #[test]
    fn a_value_that_is_not_finite_is_neither_written_nor_read() {
        for value in [f32::NAN, f32::INFINITY] {
            let mut other = checkpoint();
            other.tensors.insert("rule.weights".into(), Tensor::new(&[1f32, value], &Device::Cpu).unwrap());
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("checkpoint.safetensors");
            let unwritten = other.save(&path).unwrap_err().to_string();
            assert!(!path.exists());
            for error in [unwritten, reason(&other.to_bytes().unwrap())] {
                assert!(error.ends_with("tensor `rule.weights` holds a value that is not finite"), "{error}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused() {
        let whole = written();
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::from_bytes(&flipped, &Device::Cpu).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let whole = written();
        for length in 0..whole.len() {
            Checkpoint::from_bytes(&whole[..length], &Device::Cpu).unwrap_err();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_loading_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = Checkpoint::from_bytes(&bytes, &Device::Cpu);
        }

        #[test]
        fn no_changed_byte_makes_loading_panic(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = written();
            let position = position.index(bytes.len());
            bytes[position] = byte;
            let _ = Checkpoint::from_bytes(&bytes, &Device::Cpu);
        }
    }
}
