//! The metrics once more, as TensorBoard reads them: a folder a model and seed, with one event file in it.
//!
//! An event file is a sequence of records, each a length, its checksum, that many bytes and their checksum; the bytes are a
//! protocol buffer, `tensorflow.Event`. The clock of the events counts seconds of training, so that TensorBoard's relative
//! time is the time that training took, whenever a run was interrupted, and equal runs differ in nothing else.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use prost::Message;

use crate::Metric;

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// TensorBoard takes a file for one of its own by this name.
const FILE: &str = "events.out.tfevents.0.hebbian";

/// The event files of one run.
#[derive(Debug)]
pub(crate) struct EventFiles {
    folder: PathBuf,
    /// Seconds of training so far of each model and seed.
    seconds: BTreeMap<String, f64>,
}

impl EventFiles {
    /// Begins anew in `folder`, with the lines that there are.
    pub(crate) fn begin(folder: PathBuf, all: &[Metric]) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        let mut files = Self { folder, seconds: BTreeMap::new() };
        all.iter().try_for_each(|metric| files.push(metric))?;
        Ok(files)
    }

    /// The same, where some lines were dropped.
    pub(crate) fn begin_again(&mut self, all: &[Metric]) -> Result<()> {
        *self = Self::begin(self.folder.clone(), all)?;
        Ok(())
    }

    /// Adds every number of one epoch.
    pub(crate) fn push(&mut self, metric: &Metric) -> Result<()> {
        let name = format!("{}-seed-{}", metric.model.replace(' ', "-"), metric.seed);
        let folder = self.folder.join(&name);
        let place = || folder.display().to_string();
        let mut bytes = Vec::new();
        if !self.seconds.contains_key(&name) {
            fs::create_dir_all(&folder).with_context(place)?;
            let version = Some("brain.Event:2".to_owned());
            bytes.extend(record(&Event { file_version: version, ..Event::default() }));
        }
        let seconds = self.seconds.entry(name).or_default();
        *seconds += metric.seconds;
        bytes.extend(record(&event(metric, *seconds)));
        let mut file =
            OpenOptions::new().create(true).append(true).open(folder.join(FILE)).with_context(place)?;
        file.write_all(&bytes).with_context(place)
    }
}

fn event(metric: &Metric, wall_time: f64) -> Event {
    let phase = serde_json::to_value(metric.phase).unwrap_or_default();
    let phase = phase.as_str().unwrap_or_default();
    let scalar = |(name, value): (&String, &serde_json::Value)| {
        Some(Scalar { tag: format!("{phase}/{name}"), simple_value: Some(value.as_f64()? as f32) })
    };
    let value = metric.values.iter().filter_map(scalar).collect();
    Event { wall_time, step: metric.epoch as i64, summary: Some(Summary { value }), file_version: None }
}

fn record(event: &Event) -> Vec<u8> {
    let bytes = event.encode_to_vec();
    let length = (bytes.len() as u64).to_le_bytes();
    let parts = [&length[..], &checksum(&length), &bytes, &checksum(&bytes)];
    parts.concat()
}

/// The format's masked CRC-32C.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;
    use serde_json::{Map, json};

    fn metric(epoch: usize) -> Metric {
        let values = Map::from_iter([
            ("update_size".to_owned(), json!(0.5 * epoch as f64)),
            ("quantiles".to_owned(), json!([1, 2])),
        ]);
        let model = "comp-spec 100".to_owned();
        Metric { seed: 3, model, phase: Phase::Learn, epoch, seconds: 2.0, values }
    }

    fn read(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(rest[..4], checksum(length));
            assert_eq!(rest[4 + size..8 + size], checksum(&rest[4..4 + size]));
            events.push(Event::decode(&rest[4..4 + size]).unwrap());
            bytes = &rest[8 + size..];
        }
        events
    }

    #[test]
    fn the_checksum_is_the_one_that_tensorboard_expects() {
        // CRC-32C's check value is 0xe3069283.
        assert_eq!(checksum(b"123456789"), 0xc78a_b0e5u32.to_le_bytes());
    }

    #[test]
    fn each_epoch_is_an_event_with_its_numbers_whether_the_run_was_resumed_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tensorboard");
        let mut files = EventFiles::begin(path.clone(), &[metric(1), metric(2)]).unwrap();
        files.push(&metric(3)).unwrap();
        let whole = fs::read(path.join("comp-spec-100-seed-3").join(FILE)).unwrap();
        let events = read(&whole);
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!((events.len(), events[3].step, events[3].wall_time), (4, 3, 6.0));
        let scalar = Scalar { tag: "learn/update_size".to_owned(), simple_value: Some(1.5) };
        assert_eq!(events[3].summary.as_ref().unwrap().value, [scalar], "and nothing that is no number");

        EventFiles::begin(path.clone(), &[metric(1), metric(2), metric(3)]).unwrap();
        assert_eq!(fs::read(path.join("comp-spec-100-seed-3").join(FILE)).unwrap(), whole);
    }
}
