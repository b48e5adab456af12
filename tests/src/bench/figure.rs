//! Samples, verdicts, the table and the CSV.
//!
//! Owns the arithmetic of percentiles (nearest rank) and both forms of the answer.

use std::fmt::Write as _;

/// What was measured, again and again, in one unit.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Of these values, in the order measured.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        Self(values.into_iter().collect())
    }

    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// In the order measured.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The value that `percent` of all do not exceed (nearest rank); 0 of none.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(0.0)
    }

    /// The median.
    pub fn p50(&self) -> f64 {
        self.percentile(50)
    }

    /// The 99th percentile: of fewer than a hundred, the worst.
    pub fn p99(&self) -> f64 {
        self.percentile(99)
    }

    /// The worst.
    pub fn worst(&self) -> f64 {
        self.percentile(100)
    }
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The row it belongs to.
    pub row: &'static str,
    /// What is measured.
    pub what: String,
    /// Of the samples.
    pub unit: &'static str,
    /// The target in words.
    pub target: String,
    /// What was measured.
    pub samples: Samples,
    /// What it is compared with: measured in the same run, or a figure of the record.
    pub reference: String,
    /// Whether the target is met.
    pub met: bool,
    /// How it was measured, in a few words.
    pub how: String,
    /// The machine's load when the row began.
    pub load: f64,
}

impl Figure {
    /// A line without reference; the target is judged by the caller.
    pub fn new(what: impl Into<String>, unit: &'static str, samples: Samples) -> Self {
        Self {
            row: "",
            what: what.into(),
            unit,
            target: String::new(),
            samples,
            reference: String::new(),
            met: false,
            how: String::new(),
            load: 0.0,
        }
    }

    /// With the target in words, and whether it is met.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>, met: bool) -> Self {
        self.target = target.into();
        self.met = met && !self.samples.values().is_empty();
        self
    }

    /// With what it is compared with.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = reference.into();
        self
    }

    /// With how it was measured.
    #[must_use]
    pub fn how(mut self, how: impl Into<String>) -> Self {
        self.how = how.into();
        self
    }

    fn verdict(&self) -> &'static str {
        if self.met { "met" } else { "MISSED" }
    }

    fn cells(&self) -> [String; 9] {
        let unit = if self.unit.is_empty() {
            String::new()
        } else {
            format!(" {}", self.unit)
        };
        [
            self.what.clone(),
            self.target.clone(),
            format!("{}{unit}", number(self.samples.p50())),
            number(self.samples.p99()),
            number(self.samples.worst()),
            self.samples.values().len().to_string(),
            self.reference.clone(),
            self.verdict().to_owned(),
            format!("{:.1}", self.load),
        ]
    }
}

const HEAD: [&str; 9] = [
    "what",
    "target",
    "p50",
    "p99",
    "worst",
    "n",
    "reference",
    "verdict",
    "load",
];

/// For people, as Markdown with aligned columns.
pub fn table(figures: &[Figure]) -> String {
    let mut rows: Vec<[String; 9]> = vec![HEAD.map(str::to_owned)];
    rows.extend(figures.iter().map(Figure::cells));
    let width = |at: usize| {
        rows.iter()
            .map(|row| row[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        text.push('|');
        for (cell, width) in row.iter().zip(widths) {
            let _infallible = write!(text, " {cell:width$} |");
        }
        text.push('\n');
        if n == 0 {
            text.push('|');
            for width in widths {
                let _infallible = write!(text, "{}|", "-".repeat(width + 2));
            }
            text.push('\n');
        }
    }
    text
}

/// For machines: one line per figure, its samples at the end, separated by spaces.
pub fn csv(figures: &[Figure]) -> String {
    let mut text =
        "row,what,unit,target,p50,p99,worst,n,reference,verdict,load,how,samples\n".to_owned();
    for figure in figures {
        let samples: Vec<String> = figure
            .samples
            .values()
            .iter()
            .map(|v| format!("{v:.3}"))
            .collect();
        let cells = [
            figure.row.to_owned(),
            figure.what.clone(),
            figure.unit.to_owned(),
            figure.target.clone(),
            number(figure.samples.p50()),
            number(figure.samples.p99()),
            number(figure.samples.worst()),
            figure.samples.values().len().to_string(),
            figure.reference.clone(),
            figure.verdict().to_owned(),
            format!("{:.2}", figure.load),
            figure.how.clone(),
            samples.join(" "),
        ];
        text += &cells.map(|cell| quoted(&cell)).join(",");
        text.push('\n');
    }
    text
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// Three digits that count.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v == 0.0 || v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests;
