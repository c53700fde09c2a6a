//! What a hub has: images in parquet files, and the cache that its clients leave.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{ExtendedColorType, ImageEncoder};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

/// Names and contents.
pub type Files = HashMap<String, Vec<u8>>;

pub const COMMIT: &str = "0123456789012345678901234567890123456789";

pub fn png(width: u32, height: u32, color: ExtendedColorType, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes).write_image(data, width, height, color).unwrap();
    bytes
}

pub fn gray(width: u32, height: u32, shade: u8) -> Vec<u8> {
    png(width, height, ExtendedColorType::L8, &vec![shade; (width * height) as usize])
}

/// A gray image of 28 by 28 in one shade.
pub fn shade(shade: u8) -> Vec<u8> {
    gray(28, 28, shade)
}

/// The values of a column, all of them there.
pub enum Column {
    Images(Vec<Vec<u8>>),
    Long(Vec<i64>),
    Int(Vec<i32>),
    Text(Vec<&'static str>),
}

/// A parquet file; `names` are the classes of its column `label`, in the form in which Python's `datasets` writes them.
pub fn table(schema: &str, columns: &[Column], names: Option<&[&str]>) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message schema {{ {schema} }}")).unwrap());
    let said = names.map(|names| {
        let label = serde_json::json!({ "names": names, "_type": "ClassLabel" });
        let said =
            serde_json::json!({ "info": { "features": { "image": { "_type": "Image" }, "label": label } } });
        vec![KeyValue::new("huggingface".to_owned(), said.to_string())]
    });
    let properties = WriterProperties::builder().set_key_value_metadata(said).build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    columns.iter().for_each(|column| write(&mut group, column));
    group.close().unwrap();
    file.close().unwrap();
    bytes
}

fn write(group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>, values: &Column) {
    let mut column = group.next_column().unwrap().unwrap();
    let binary = |values: Vec<Vec<u8>>| values.into_iter().map(ByteArray::from).collect::<Vec<_>>();
    let texts = |values: &[&str]| binary(values.iter().map(|text| text.as_bytes().to_vec()).collect());
    match values {
        Column::Images(images) => {
            column.typed::<ByteArrayType>().write_batch(&binary(images.clone()), None, None)
        }
        Column::Text(values) => column.typed::<ByteArrayType>().write_batch(&texts(values), None, None),
        Column::Long(values) => column.typed::<Int64Type>().write_batch(values, None, None),
        Column::Int(values) => column.typed::<Int32Type>().write_batch(values, None, None),
    }
    .unwrap();
    column.close().unwrap();
}

pub const IMAGE_AND_LABEL: &str = "required group image { required binary bytes; } required int64 label;";

/// A parquet file with rows of an image and a label, as the hub's.
pub fn parquet(rows: &[(Vec<u8>, i64)]) -> Vec<u8> {
    named(rows, None)
}

/// The same, with names of classes.
pub fn named(rows: &[(Vec<u8>, i64)], names: Option<&[&str]>) -> Vec<u8> {
    let (images, labels) = rows.iter().cloned().unzip();
    table(IMAGE_AND_LABEL, &[Column::Images(images), Column::Long(labels)], names)
}

pub fn files<const N: usize>(files: [(&str, Vec<u8>); N]) -> Files {
    files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// A cache as the hub's client lays it out, with plain files where it has links. `repository` is the name of its folder.
pub fn seed(cache: &Path, repository: &str, revision: &str, files: &Files) {
    let repository = cache.join(repository);
    let reference = repository.join("refs").join(revision);
    fs::create_dir_all(reference.parent().unwrap()).unwrap();
    fs::write(reference, COMMIT).unwrap();
    for (name, bytes) in files {
        let path = repository.join("snapshots").join(COMMIT).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}
