//! Tables that the programs print, read back.

/// The cells of the row whose first cell begins with `name`; columns are two spaces apart, or more.
pub(crate) fn cells(text: &str, name: &str) -> Vec<String> {
    let row = text.lines().map(str::trim_start).find(|line| line.starts_with(name));
    let row = row.unwrap_or_else(|| panic!("no row `{name}` in\n{text}"));
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}
