//! What boards can do at most by their vendors' data sheets: dense BF16 (before Ampere FP16) matrix
//! operations accumulated in FP32, and reads and writes of their memory. Figures with sparsity are
//! halved. A board that isn't here has no peaks: names near a known one often mean another board.

/// Peaks of a board, or of several together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peaks {
    /// Floating-point operations in a second, a multiplication and an addition counting as two.
    pub(super) flops_per_second: f64,
    /// Bytes read from and written to the board's memory in a second.
    pub(super) bytes_per_second: f64,
}

/// A board's name as its driver tells it, without the `NVIDIA` that newer drivers put in front; its
/// TFLOPS; its GB/s.
type Board = (&'static str, f64, f64);

const BOARDS: [Board; 28] = [
    // NVIDIA H200 data sheet: 1,979 (SXM) and 1,671 (NVL) with sparsity.
    ("H200", 989.5, 4_800.0),
    ("H200 NVL", 835.5, 4_800.0),
    // NVIDIA GH200 data sheet (96 GB of HBM3): 1,979 with sparsity.
    ("GH200 480GB", 989.5, 4_000.0),
    // NVIDIA H100 data sheet: 1,979 (SXM), 1,671 (NVL) and 1,513 (PCIe) with sparsity.
    ("H100 80GB HBM3", 989.5, 3_350.0),
    ("H100 NVL", 835.5, 3_900.0),
    ("H100 PCIe", 756.5, 2_000.0),
    // NVIDIA A100 data sheet, of the 80 GB and of the 40 GB versions.
    ("A100-SXM4-80GB", 312.0, 2_039.0),
    ("A100 80GB PCIe", 312.0, 1_935.0),
    ("A100-SXM4-40GB", 312.0, 1_555.0),
    ("A100-PCIE-40GB", 312.0, 1_555.0),
    // NVIDIA L40S and L4 data sheets; L4: 242 with sparsity.
    ("L40S", 362.05, 864.0),
    ("L4", 121.0, 300.0),
    // NVIDIA A40, A30 and A10 data sheets.
    ("A40", 149.7, 696.0),
    ("A30", 165.0, 933.0),
    ("A10", 125.0, 600.0),
    // NVIDIA T4 data sheet; its bandwidth by the product brief PB-09256-001.
    ("Tesla T4", 65.0, 320.0),
    // NVIDIA V100 data sheet.
    ("Tesla V100S-PCIE-32GB", 130.0, 1_134.0),
    ("Tesla V100-SXM2-32GB", 125.0, 900.0),
    ("Tesla V100-SXM2-16GB", 125.0, 900.0),
    ("Tesla V100-PCIE-32GB", 112.0, 900.0),
    ("Tesla V100-PCIE-16GB", 112.0, 900.0),
    // NVIDIA RTX Blackwell, Ada and Ampere GA102 architecture white papers, with FP32 accumulate.
    ("GeForce RTX 5090", 209.5, 1_792.0),
    ("GeForce RTX 4090", 165.2, 1_008.0),
    ("GeForce RTX 4080", 97.5, 716.8),
    ("GeForce RTX 3090", 71.0, 936.0),
    ("RTX A6000", 154.8, 768.0),
    // AMD Instinct MI300X data sheet. The first name is amdgpu's `product_name`.
    ("AMD Instinct MI300X OAM", 1_307.4, 5_300.0),
    ("AMD Instinct MI300X", 1_307.4, 5_300.0),
];

/// The peaks of a board, by its whole name.
pub(super) fn of_board(name: &str) -> Option<Peaks> {
    let bare = name.strip_prefix("NVIDIA ").unwrap_or(name);
    let (_, tflops, gb_per_s) = BOARDS.iter().find(|(board, ..)| *board == bare)?;
    Some(Peaks { flops_per_second: tflops * 1e12, bytes_per_second: gb_per_s * 1e9 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_known_by_its_whole_name_with_or_without_the_vendors() {
        let sxm = Peaks { flops_per_second: 989.5e12, bytes_per_second: 3.35e12 };
        assert_eq!(of_board("NVIDIA H100 80GB HBM3"), Some(sxm));
        assert_eq!(of_board("NVIDIA A100-SXM4-80GB"), of_board("A100-SXM4-80GB"));
        assert_eq!(of_board("NVIDIA H100 PCIe").map(|peaks| peaks.bytes_per_second), Some(2e12));
        for unknown in ["NVIDIA H100", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA L", "A100", ""]
        {
            assert_eq!(of_board(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn no_board_is_named_twice_and_none_has_its_figures_mixed_up() {
        for (index, (name, tflops, gb_per_s)) in BOARDS.iter().enumerate() {
            assert!(BOARDS[index + 1..].iter().all(|(other, ..)| other != name), "{name}");
            // FLOPs for a byte: 76 on a GeForce RTX 3090 to 419 on an L40S.
            let balance = tflops * 1e3 / gb_per_s;
            assert!((70.0..450.0).contains(&balance), "{name}: {balance}");
        }
    }
}
