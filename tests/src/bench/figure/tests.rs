//! Percentiles by nearest rank, and the two forms.

use super::{Figure, Samples, csv, table};

#[test]
fn percentiles_are_values_that_were_measured() {
    let hundred = Samples::new((1..=100).rev().map(f64::from));
    assert_eq!(hundred.p50(), 50.0);
    assert_eq!(hundred.p99(), 99.0);
    assert_eq!(hundred.worst(), 100.0);
    let few = Samples::new([3.0, 1.0, 2.0]);
    assert_eq!((few.p50(), few.p99()), (2.0, 3.0));
    assert_eq!(Samples::default().p99(), 0.0);
}

#[test]
fn a_figure_without_samples_is_not_met() {
    let figure = Figure::new("nothing", "ms", Samples::default()).target("any", true);
    assert!(!figure.met);
    assert!(table(&[figure]).contains("MISSED"));
}

#[test]
fn a_comma_stays_inside_its_cell() {
    let figure = Figure::new("a, \"b\"", "ms", Samples::new([1.0]));
    let text = csv(&[figure]);
    let line = text.lines().nth(1).expect("a line");
    assert!(line.starts_with(",\"a, \"\"b\"\"\",ms,"), "{line}");
}
