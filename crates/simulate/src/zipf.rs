//! Who comes how often: by the law of Zipf, the second half as often as the first, the third a
//! third as often, and so on.
//!
//! Drawn exactly, from the table of the law's sums: eight bytes for each who may be drawn.

use rand::{Rng, RngExt as _};

/// Draws of `1..=count`, number k with a weight of 1 / k^exponent.
#[derive(Debug)]
pub(super) struct Zipf {
    /// Up to each number, the sum of all weights.
    sums: Vec<f64>,
}

impl Zipf {
    pub(super) fn new(count: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut sum_with = |number: u32| {
            sum += f64::from(number).powf(-exponent);
            sum
        };
        Self { sums: (1..=count).map(&mut sum_with).collect() }
    }

    /// One of the numbers; 1 if there are none.
    pub(super) fn draw(&self, random: &mut impl Rng) -> u32 {
        let point = random.random::<f64>() * self.sums.last().copied().unwrap_or_default();
        let below = self.sums.partition_point(|sum| *sum <= point);
        // The product may round up to the whole sum.
        let index = below.min(self.sums.len().saturating_sub(1));
        u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::Zipf;

    const DRAWS: u32 = 200_000;
    const COUNT: u32 = 50;

    /// Each number comes as often as the law says, within five standard deviations.
    #[track_caller]
    fn check(exponent: f64) {
        let seed = testkit::seed();
        let mut random = StdRng::seed_from_u64(seed);
        let zipf = Zipf::new(COUNT, exponent);
        let mut seen = vec![0_u32; COUNT as usize + 1];
        for _ in 0..DRAWS {
            seen[zipf.draw(&mut random) as usize] += 1;
        }
        assert_eq!(seen[0], 0);
        let weight = |number: u32| f64::from(number).powf(-exponent);
        let sum: f64 = (1..=COUNT).map(weight).sum();
        for number in 1..=COUNT {
            let share = weight(number) / sum;
            let expected = share * f64::from(DRAWS);
            let deviation = (expected * (1.0 - share)).sqrt();
            let drawn = f64::from(seen[number as usize]);
            let is_near = (drawn - expected).abs() < 5.0 * deviation;
            assert!(is_near, "number {number}: {drawn}, expected {expected}; seed {seed}");
        }
    }

    #[test]
    fn each_number_comes_as_often_as_the_law_says() {
        check(1.0);
        check(0.5);
        check(2.0);
    }

    #[test]
    fn without_an_exponent_all_are_equal() {
        check(0.0);
    }

    #[test]
    fn one_alone_is_always_drawn() {
        let mut random = StdRng::seed_from_u64(1);
        assert_eq!(Zipf::new(1, 1.0).draw(&mut random), 1);
        assert_eq!(Zipf::new(0, 1.0).draw(&mut random), 1);
    }
}
