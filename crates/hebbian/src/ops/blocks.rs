//! A matrix cut into blocks that threads write to side by side, across rows and columns.

use std::marker::PhantomData;

/// Some rows and columns of a row-major matrix, to write to.
pub(crate) struct Block<'a> {
    pub first_row: usize,
    pub first_column: usize,
    pub rows: usize,
    pub columns: usize,
    /// Values from one row of the matrix to the next.
    pub stride: usize,
    start: *mut f32,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: a block is the only way to its values while the matrix is borrowed, like a part that `split_at_mut` gives.
unsafe impl Send for Block<'_> {}

impl Block<'_> {
    /// Where the value at a row and column of the block lies, from which all that follow in the block can be reached.
    pub fn place(&mut self, row: usize, column: usize) -> *mut f32 {
        assert!(row < self.rows && column < self.columns);
        // SAFETY: the place lies in the block, and so in the matrix.
        unsafe { self.start.add(row * self.stride + column) }
    }

    /// The values of one row of the block, which counts from the block's first.
    #[inline(always)]
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: `blocks_mut` made the block of rows and columns of the matrix, which no other block has.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }
}

/// Cuts a row-major `matrix` of so many `columns` into blocks of at most `height` rows and `width` columns, those of the first
/// rows first.
pub(crate) fn blocks_mut(matrix: &mut [f32], columns: usize, height: usize, width: usize) -> Vec<Block<'_>> {
    let (height, width) = (height.max(1), width.max(1));
    let (stride, rows, start) = (columns, matrix.len() / columns.max(1), matrix.as_mut_ptr());
    let mut blocks = Vec::new();
    for first_row in (0..rows).step_by(height) {
        for first_column in (0..columns).step_by(width) {
            // SAFETY: the first row and column are within the matrix.
            let start = unsafe { start.add(first_row * stride + first_column) };
            let (rows, columns) = (height.min(rows - first_row), width.min(columns - first_column));
            blocks.push(Block { first_row, first_column, rows, columns, stride, start, matrix: PhantomData });
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_value_lies_in_one_block(
            rows in 0usize..9, columns in 1usize..9, height in 0usize..5, width in 0usize..5,
        ) {
            let mut matrix = vec![0f32; rows * columns];
            for mut block in blocks_mut(&mut matrix, columns, height, width) {
                for row in 0..block.rows {
                    let (first, line) = (block.first_column, (block.first_row + row) * columns);
                    let values = block.row(row).iter_mut().enumerate();
                    values.for_each(|(column, value)| *value += (line + first + column + 1) as f32);
                }
            }
            let expected: Vec<f32> = (1..=rows * columns).map(|place| place as f32).collect();
            prop_assert_eq!(matrix, expected);
        }
    }
}
