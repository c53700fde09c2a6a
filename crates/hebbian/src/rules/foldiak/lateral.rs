//! The weights between units, where the CPU learns them.

/// Values that are computed together.
pub(super) const LANES: usize = 16;

/// One row of a block: a line of the cache, which no load then needs two of.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [f32; LANES]);

/// A matrix `(units, units)` cut into blocks of sixteen columns, one block after the other and each row by row: what a
/// product reads then lies in one line. Units are filled up to a multiple of sixteen with others whose weights are 0.
#[derive(Debug)]
pub(super) struct Lateral {
    units: usize,
    lines: Vec<Line>,
}

impl Lateral {
    pub(super) fn new(matrix: &[f32], units: usize) -> Self {
        let lanes = units.next_multiple_of(LANES);
        let mut lateral = Self { units, lines: vec![Line([0.0; LANES]); lanes * lanes / LANES] };
        for (row, values) in matrix.chunks_exact(units).enumerate() {
            for (block, values) in lateral.blocks_mut().zip(values.chunks(LANES)) {
                block[row].0[..values.len()].copy_from_slice(values);
            }
        }
        lateral
    }

    /// Units, filled up to whole lines.
    pub(super) fn lanes(&self) -> usize {
        self.units.next_multiple_of(LANES)
    }

    /// The matrix that was cut into blocks.
    pub(super) fn matrix(&self) -> Vec<f32> {
        let rows = (0..self.units).flat_map(|row| (0..self.units).map(move |column| (row, column)));
        rows.map(|(row, column)| self.weight(row, column)).collect()
    }

    fn weight(&self, row: usize, column: usize) -> f32 {
        self.lines[column / LANES * self.lanes() + row].0[column % LANES]
    }

    pub(super) fn is_symmetric(&self) -> bool {
        let same = |row, column| self.weight(row, column) == self.weight(column, row);
        (0..self.units).all(|row| (0..row).all(|column| same(row, column)))
    }

    /// The rows of each block of columns.
    pub(super) fn blocks(&self) -> impl ExactSizeIterator<Item = &[Line]> {
        self.lines.chunks_exact(self.lanes())
    }

    /// The rows of each block of columns.
    pub(super) fn blocks_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [Line]> {
        let lanes = self.lanes();
        self.lines.chunks_exact_mut(lanes)
    }

    /// A unit does nothing to itself.
    pub(super) fn clear_diagonal(&mut self) {
        for (index, block) in self.blocks_mut().enumerate() {
            for (lane, Line(row)) in block[index * LANES..][..LANES].iter_mut().enumerate() {
                row[lane] = 0.0;
            }
        }
    }

    /// `received_u = Σ_v y_v w_vu`, w_vu the weight in row v and column u, in four partial sums whatever the vector width:
    /// the bits do not depend on it.
    #[inline(always)]
    pub(super) fn multiply(&self, y: &[f64], received: &mut [f64]) {
        // The rows of the lanes past the last four units would add nothing.
        let y = y[..self.units.next_multiple_of(4)].as_chunks::<4>().0;
        for (block, received) in self.blocks().zip(received.as_chunks_mut::<LANES>().0) {
            let mut partial = [[0f64; LANES]; 4];
            for (rows, y) in block.as_chunks::<4>().0.iter().zip(y) {
                for ((sums, Line(row)), &y) in partial.iter_mut().zip(rows).zip(y) {
                    for lane in 0..LANES {
                        sums[lane] = y.mul_add(f64::from(row[lane]), sums[lane]);
                    }
                }
            }
            let [a, b, c, d] = partial;
            for lane in 0..LANES {
                received[lane] = (a[lane] + b[lane]) + (c[lane] + d[lane]);
            }
        }
    }
}
