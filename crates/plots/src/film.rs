//! Units while they form: a GIF that grows by a frame an epoch.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::time::Duration;

use gif::{DecodeOptions, Decoder, Encoder, Frame, MemoryLimit, Repeat};

use crate::picture::{LARGEST, Picture, Rgb};
use crate::{Error, Result};

/// The last frame stands two seconds longer than the others, in a GIF's hundredths of a second.
const HOLD: u16 = 200;

/// Pictures of one size, one after the other, for ever.
///
/// Each frame has its own palette, so the film shows exactly the pictures that were pushed, and an interrupted run can
/// [open](Film::open) its film, [truncate](Film::truncate) it to the epoch of its checkpoint and go on. Frames are
/// compressed as they come: a long film stays small in memory, and writing it after every epoch costs next to nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Film {
    delay: u16,
    size: (u16, u16),
    frames: Vec<Compressed>,
}

impl Film {
    /// An empty film whose frames stand `delay` each, in steps of ten milliseconds and at most ten minutes.
    pub fn new(delay: Duration) -> Self {
        Self { delay: (delay.as_millis() / 10).min(60_000) as u16, size: (0, 0), frames: Vec::new() }
    }

    /// Appends a picture of at most 256 colors and of the first picture's size.
    pub fn push(&mut self, picture: &Picture) -> Result<()> {
        let size = frame_size(picture)?;
        if !self.is_empty() && size != self.size {
            let expected = format!("{} x {} like the first", self.size.0, self.size.1);
            return Err(Error::argument("picture", format!("{} x {}", size.0, size.1), expected));
        }
        self.frames.push(Indexed::of(picture)?.compress());
        self.size = size;
        Ok(())
    }

    /// Frames so far.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Keeps the first `frames` frames.
    pub fn truncate(&mut self, frames: usize) {
        self.frames.truncate(frames);
    }

    /// The picture that was pushed as number `frame`, counted from 0.
    pub fn picture(&self, frame: usize) -> Result<Picture> {
        let frames = self.frames.get(frame..=frame).ok_or_else(|| {
            Error::argument("frame", frame, format!("less than the film's {} frames", self.len()))
        })?;
        let bytes = self.gif_of(frames)?;
        let mut decoder = decoder(&bytes)?;
        let pixels = Indexed::read_from(&mut decoder)?.map(|(frame, _)| frame.pixels()).unwrap_or_default();
        Picture::from_rgb(self.size.0.into(), self.size.1.into(), pixels)
    }

    /// The bytes of the GIF file.
    pub fn gif(&self) -> Result<Vec<u8>> {
        if self.is_empty() {
            return Err(Error::argument("film", "empty", "at least one frame"));
        }
        self.gif_of(&self.frames)
    }

    fn gif_of(&self, frames: &[Compressed]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.size.0, self.size.1, &[])?;
        encoder.set_repeat(Repeat::Infinite)?;
        for (index, frame) in frames.iter().enumerate() {
            let hold = if index + 1 == frames.len() { HOLD } else { 0 };
            encoder.write_lzw_pre_encoded_frame(&Frame {
                width: self.size.0,
                height: self.size.1,
                delay: self.delay + hold,
                palette: Some(frame.palette.clone()),
                buffer: frame.codes.as_slice().into(),
                ..Frame::default()
            })?;
        }
        encoder.into_inner()?;
        Ok(bytes)
    }

    /// Reads a film that [`Film::gif`] wrote: the same pictures, to the bit, and the same delay.
    pub fn open(bytes: &[u8]) -> Result<Self> {
        let mut decoder = decoder(bytes)?;
        let size = (decoder.width(), decoder.height());
        let mut film = Self { delay: 0, size, frames: Vec::new() };
        let mut last_delay = 0;
        while let Some((frame, delay)) = Indexed::read_from(&mut decoder)? {
            film.frames.push(frame.compress());
            last_delay = delay;
        }
        match last_delay.checked_sub(HOLD) {
            Some(delay) => Ok(Self { delay, ..film }),
            None => Err(Error::NotAFilm("no frame is held at the end".into())),
        }
    }
}

impl std::fmt::Debug for Film {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Film({} frames of {} x {})", self.len(), self.size.0, self.size.1)
    }
}

/// A frame as it stands in the file.
#[derive(Clone, PartialEq, Eq)]
struct Compressed {
    palette: Vec<u8>,
    codes: Vec<u8>,
}

/// A picture as places in a palette.
struct Indexed {
    palette: Vec<u8>,
    places: Vec<u8>,
}

impl Indexed {
    /// Colors are numbered as they appear, so that equal pictures become equal bytes.
    fn of(picture: &Picture) -> Result<Self> {
        let mut known = HashMap::new();
        let mut frame = Self { palette: Vec::new(), places: Vec::new() };
        let mut previous = None;
        for pixel in picture.pixels().as_chunks::<3>().0 {
            let place = match previous {
                Some((color, place)) if color == pixel => place,
                _ => frame.place(*pixel, &mut known)?,
            };
            previous = Some((pixel, place));
            frame.places.push(place);
        }
        Ok(frame)
    }

    fn place(&mut self, color: Rgb, known: &mut HashMap<Rgb, u8>) -> Result<u8> {
        if let Some(&place) = known.get(&color) {
            return Ok(place);
        }
        let place = u8::try_from(known.len())
            .map_err(|_| Error::argument("picture", "of more than 256 colors", "at most 256 colors"))?;
        known.insert(color, place);
        self.palette.extend(color);
        Ok(place)
    }

    /// The next frame and its delay.
    fn read_from(decoder: &mut Decoder<&[u8]>) -> Result<Option<(Self, u16)>> {
        let whole = (0, 0, decoder.width(), decoder.height());
        let Some(frame) = decoder.read_next_frame().map_err(not_a_film)? else { return Ok(None) };
        let places = frame.buffer.to_vec();
        let palette = frame.palette.as_deref().unwrap_or_default();
        let colors = places.iter().max().map_or(0, |&last| usize::from(last) + 1);
        let stands = (frame.left, frame.top, frame.width, frame.height) == whole;
        match palette.get(..3 * colors) {
            Some(palette) if stands && frame.transparent.is_none() => {
                Ok(Some((Self { palette: palette.to_vec(), places }, frame.delay)))
            }
            _ => Err(Error::NotAFilm("a frame is not a whole picture with its own palette".into())),
        }
    }

    fn compress(self) -> Compressed {
        let mut frame = Frame { buffer: self.places.into(), ..Frame::default() };
        frame.make_lzw_pre_encoded();
        Compressed { palette: self.palette, codes: frame.buffer.into_owned() }
    }

    fn pixels(&self) -> Vec<u8> {
        let colors = self.palette.as_chunks::<3>().0;
        self.places.iter().flat_map(|&place| colors[usize::from(place)]).collect()
    }
}

fn decoder(bytes: &[u8]) -> Result<Decoder<&[u8]>> {
    let mut options = DecodeOptions::new();
    if let Some(limit) = NonZeroU64::new(LARGEST as u64) {
        options.set_memory_limit(MemoryLimit::Bytes(limit));
    }
    options.read_info(bytes).map_err(not_a_film)
}

fn not_a_film(error: gif::DecodingError) -> Error {
    Error::NotAFilm(error.to_string())
}

fn frame_size(picture: &Picture) -> Result<(u16, u16)> {
    match (u16::try_from(picture.width()), u16::try_from(picture.height())) {
        (Ok(width), Ok(height)) => Ok((width, height)),
        _ => {
            let value = format!("{} x {}", picture.width(), picture.height());
            Err(Error::argument("picture", value, "at most 65535 pixels per side"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DELAY: Duration = Duration::from_millis(150);

    /// A picture of `colors` colors, other ones for each `epoch`.
    fn picture(epoch: usize, colors: usize) -> Picture {
        let pixel = |at: usize| [(at % colors) as u8, (at % colors / 256) as u8, epoch as u8];
        Picture::from_rgb(30, 20, (0..600).flat_map(pixel).collect()).unwrap()
    }

    fn film(frames: usize) -> Film {
        let mut film = Film::new(DELAY);
        (0..frames).for_each(|epoch| film.push(&picture(epoch, 1 + 51 * epoch)).unwrap());
        film
    }

    #[test]
    fn a_film_read_back_is_the_same_film() {
        for frames in 1..=6 {
            let film = film(frames);
            let bytes = film.gif().unwrap();
            let read = Film::open(&bytes).unwrap();
            assert_eq!(read, film);
            assert_eq!(read.gif().unwrap(), bytes);
        }
    }

    #[test]
    fn frames_are_the_pictures_to_the_bit() {
        let film = film(6);
        for epoch in 0..6 {
            assert_eq!(film.picture(epoch).unwrap(), picture(epoch, 1 + 51 * epoch));
        }
        assert_eq!(
            film.picture(6).unwrap_err().to_string(),
            "`frame` is 6; expected less than the film's 6 frames"
        );
    }

    #[test]
    fn a_resumed_film_ends_as_one_that_was_not_interrupted() {
        let mut resumed = Film::open(&film(4).gif().unwrap()).unwrap();
        resumed.truncate(2);
        (2..6).for_each(|epoch| resumed.push(&picture(epoch, 1 + 51 * epoch)).unwrap());
        assert_eq!(resumed.gif().unwrap(), film(6).gif().unwrap());
    }

    #[test]
    fn the_last_frame_is_held_longer() {
        let bytes = film(3).gif().unwrap();
        let mut decoder = decoder(&bytes).unwrap();
        let delays: Vec<u16> =
            std::iter::from_fn(|| Indexed::read_from(&mut decoder).unwrap()).map(|frame| frame.1).collect();
        assert_eq!(delays, [15, 15, 15 + HOLD]);
        assert_eq!(decoder.repeat(), Repeat::Infinite);
    }

    #[test]
    fn a_picture_of_256_colors_fits_and_of_257_does_not() {
        let mut film = Film::new(DELAY);
        film.push(&picture(0, 256)).unwrap();
        let error = film.push(&picture(0, 257)).unwrap_err();
        assert_eq!(error.to_string(), "`picture` is of more than 256 colors; expected at most 256 colors");
        assert_eq!(film.len(), 1);
    }

    #[test]
    fn a_picture_of_another_size_is_refused() {
        let mut film = film(1);
        let error = film.push(&Picture::white(30, 21).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "`picture` is 30 x 21; expected 30 x 20 like the first");
        assert!(Film::new(DELAY).push(&Picture::white(65_536, 1).unwrap()).is_err());
    }

    #[test]
    fn an_empty_film_cannot_be_written() {
        assert_eq!(
            Film::new(DELAY).gif().unwrap_err().to_string(),
            "`film` is empty; expected at least one frame"
        );
    }

    #[test]
    fn a_film_cut_short_is_refused() {
        let bytes = film(2).gif().unwrap();
        for end in 0..bytes.len() {
            assert!(Film::open(&bytes[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_open_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = film(2).gif().unwrap();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(film) = Film::open(&bytes) {
                prop_assert_eq!(Film::open(&film.gif().unwrap()).unwrap(), film);
            }
        }
    }
}
