//! The matrix unit of Intel's processors (AMX): products of tiles of bf16 with sums in f32.
//!
//! Rust has no stable intrinsics for it; the assembler knows its instructions.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

use super::tiles::{PANEL, Slab, Tile};

/// Whether this processor has the unit, and the system lets this process use it.
pub(super) fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| processor_has_it() && system_allows_it())
}

fn processor_has_it() -> bool {
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & (BF16 | TILE) == BF16 | TILE
}

/// Asks Linux for the tiles' state, which it gives to a whole process, once, on demand.
fn system_allows_it() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: the call reads two numbers and changes nothing but what the process may use; where the kernel does not know it,
    // it returns an error.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// This thread's eight tiles, each of 16 rows of 64 bytes.
pub(super) struct Unit(());

#[repr(C, align(64))]
struct TileConfig([u8; 64]);

impl Unit {
    /// The tiles of this thread, if there are any.
    pub fn of_this_thread() -> Option<Self> {
        if !is_here() {
            return None;
        }
        let mut config = TileConfig([0; 64]);
        config.0[0] = 1;
        for tile in 0..8 {
            (config.0[16 + 2 * tile], config.0[48 + tile]) = (64, 16);
        }
        // SAFETY: `is_here`; the 64 bytes are a valid configuration: palette 1, eight tiles of 16 rows of 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly)) };
        Some(Self(()))
    }

    /// Writes `left · right`, or adds it to what is there, where the 32 rows of 32 values begin at `to`, `stride` values apart.
    /// `left` and `right` begin with slabs of the same place of the sum; those of `right` lie so many `apart`.
    ///
    /// Of the products of two parts, that of the two smaller ones is below the last bit of the sum and is left out.
    ///
    /// # Safety
    /// The rows must be this caller's to write to.
    #[inline]
    pub unsafe fn multiply<const PARTS: usize>(
        &self,
        left: &[Slab<PARTS>],
        (right, apart): (&[Slab<PARTS>], usize),
        to: *mut f32,
        stride: usize,
        add: bool,
    ) {
        let slabs = left.len();
        assert!(slabs == 0 || (slabs - 1) * apart < right.len());
        macro_rules! multiply {
            ($($product:literal),*) => {
                asm!(
                    "test {add:e}, {add:e}",
                    "jz 3f",
                    "tileloadd tmm0, [{c} + {stride}]",
                    "tileloadd tmm1, [{c} + {stride} + 64]",
                    "tileloadd tmm2, [{d} + {stride}]",
                    "tileloadd tmm3, [{d} + {stride} + 64]",
                    "jmp 4f",
                    "3:",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "4:",
                    "test {slabs}, {slabs}",
                    "jz 6f",
                    "5:",
                    "tileloadd tmm4, [{a} + {row}]",
                    "tileloadd tmm6, [{b} + {row}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b} + {row} + 1024]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a} + {row} + 1024]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    $($product,)*
                    "add {a}, {size}",
                    "add {b}, {apart}",
                    "dec {slabs}",
                    "jnz 5b",
                    "6:",
                    "tilestored [{c} + {stride}], tmm0",
                    "tilestored [{c} + {stride} + 64], tmm1",
                    "tilestored [{d} + {stride}], tmm2",
                    "tilestored [{d} + {stride} + 64], tmm3",
                    add = in(reg) u64::from(add),
                    c = in(reg) to,
                    d = in(reg) to.wrapping_add(PANEL / 2 * stride),
                    stride = in(reg) stride * size_of::<f32>(),
                    row = in(reg) 64usize,
                    size = const size_of::<Tile>() * 2 * PARTS,
                    apart = in(reg) apart * size_of::<Slab<PARTS>>(),
                    a = inout(reg) left.as_ptr() => _,
                    b = inout(reg) right.as_ptr() => _,
                    slabs = inout(reg) slabs => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                )
            };
        }
        // SAFETY: `self` exists only where the tiles are configured; all loads are of whole tiles of slabs, which the slices
        // hold, and the loads and stores at `to` are of 32 rows of 32 values, which the caller vouches for.
        unsafe {
            match PARTS {
                1 => multiply!(),
                _ => multiply!(
                    "tileloadd tmm6, [{b} + {row} + 2048]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b} + {row} + 3072]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm4, [{a} + {row} + 2048]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tileloadd tmm6, [{b} + {row}]",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm7, [{b} + {row} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{a} + {row} + 3072]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7"
                ),
            }
        }
    }
}

impl Drop for Unit {
    /// Gives the tiles back: a thread without them costs the system less to switch.
    fn drop(&mut self) {
        // SAFETY: the thread has tiles.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}
