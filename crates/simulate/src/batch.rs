//! A batch before its life: whose it is, which essays are in it, and how each will fare.
//!
//! All of that is drawn here at once; when it happens is not known here.

use projection::{BatchId, BatchStatus, CourseCode, EssayId, UserId};
use rand::rngs::StdRng;
use rand::{Rng, RngExt as _};
use uuid::Uuid;

use super::chance::{named_id, one_of, usually, uuid};
use super::options::{Shares, SimulationOptions};

/// Teachers of one organisation.
const TEACHERS_PER_ORGANISATION: u32 = 25;
/// Words that students write.
const WORDS: std::ops::RangeInclusive<u32> = 120..=900;
/// At most one word in so many is corrected.
const WORDS_PER_CORRECTION_MIN: u32 = 12;
/// Most essays with known grades in one assessment.
const ANCHORS_MAX: usize = 4;
/// Who writes essays. Not all of them write in ASCII.
const STUDENTS: [&str; 12] = [
    "anna", "björn", "chloé", "dîlan", "erik", "fatima", "göran", "hanna", "小明", "josé", "Зоя",
    "Þór",
];

/// A batch, and what will become of it.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: BatchId,
    pub(super) user_id: UserId,
    pub(super) correlation_id: Uuid,
    pub(super) course_code: CourseCode,
    pub(super) org_id: Option<String>,
    pub(super) class_id: Option<String>,
    pub(super) prompt_id: Option<String>,
    pub(super) assignment_id: Option<String>,
    pub(super) essays: Vec<Essay>,
    /// How many essays with known grades are assessed with it.
    pub(super) anchors: usize,
    /// Whether it reports the end of its pipeline.
    pub(super) is_finished: bool,
    fails: bool,
}

/// An essay, and what will become of it.
#[derive(Debug)]
pub(super) struct Essay {
    pub(super) id: EssayId,
    pub(super) file_name: String,
    pub(super) file_upload_id: String,
    pub(super) text_id: String,
    pub(super) corrected_text_id: String,
    pub(super) words: u32,
    pub(super) corrections: u32,
    pub(super) spellcheck: SpellcheckFate,
    is_lost_in_assessment: bool,
}

/// What will become of an essay's spellcheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpellcheckFate {
    Succeeds,
    /// Fails, and a second one succeeds.
    Recovers,
    Fails,
}

/// What teacher number so and so is called; the first is 1.
pub(super) fn teacher(number: u32) -> UserId {
    #[expect(clippy::expect_used, reason = "a word and a number obey the limits of ids")]
    UserId::parse(format!("teacher-{number}")).expect("an id")
}

impl Batch {
    pub(super) fn draw(
        teacher_number: u32,
        options: &SimulationOptions,
        random: &mut StdRng,
    ) -> Self {
        let shares = &options.shares;
        let organisation = teacher_number / TEACHERS_PER_ORGANISATION + 1;
        let essays = 1..=count_of_essays(options.essays_max, random);
        #[expect(clippy::expect_used, reason = "a UUID obeys the limits of ids")]
        let id = BatchId::parse(uuid(random).to_string()).expect("an id");
        Self {
            id,
            user_id: teacher(teacher_number),
            correlation_id: uuid(random),
            course_code: one_of(random, CourseCode::ALL),
            org_id: usually(random, |_| format!("org-{organisation}")),
            class_id: usually(random, |random| {
                format!("class-{}{}", random.random_range(7..=9), one_of(random, &['a', 'b', 'c']))
            }),
            prompt_id: usually(random, |random| named_id(random, "prompt")),
            assignment_id: usually(random, |random| named_id(random, "assignment")),
            essays: essays.map(|number| Essay::draw(number, shares, random)).collect(),
            anchors: match shares.anchored.draw(random) {
                true => random.random_range(1..=ANCHORS_MAX),
                false => 0,
            },
            is_finished: !shares.unfinished.draw(random),
            fails: shares.failed_batches.draw(random),
        }
    }

    /// The essays whose spelling was checked in the end.
    pub(super) fn checked(&self) -> impl Iterator<Item = &Essay> {
        self.essays.iter().filter(|essay| essay.is_checked())
    }

    /// The essays that are ranked.
    pub(super) fn assessed(&self) -> impl Iterator<Item = &Essay> {
        self.checked().filter(|essay| !essay.is_lost_in_assessment)
    }

    /// How the first phase leaves the batch.
    pub(super) fn status_when_checked(&self) -> BatchStatus {
        match self.fails {
            true => BatchStatus::FailedCritically,
            false => self.status_with(self.checked().count()),
        }
    }

    /// How the second phase leaves the batch.
    pub(super) fn status_when_assessed(&self) -> BatchStatus {
        self.status_with(self.assessed().count())
    }

    fn status_with(&self, successes: usize) -> BatchStatus {
        if successes == 0 {
            BatchStatus::FailedCritically
        } else if successes < self.essays.len() {
            BatchStatus::CompletedWithFailures
        } else {
            BatchStatus::CompletedSuccessfully
        }
    }
}

impl Essay {
    fn draw(number: u32, shares: &Shares, random: &mut StdRng) -> Self {
        let words = random.random_range(WORDS);
        let student = one_of(random, &STUDENTS);
        #[expect(clippy::expect_used, reason = "a UUID obeys the limits of ids")]
        let id = EssayId::parse(uuid(random).to_string()).expect("an id");
        Self {
            id,
            file_name: format!("essay_{student}_{number}.docx"),
            file_upload_id: named_id(random, "upload"),
            text_id: named_id(random, "text"),
            corrected_text_id: named_id(random, "corrected"),
            words,
            corrections: random.random_range(0..=words / WORDS_PER_CORRECTION_MIN),
            spellcheck: SpellcheckFate::draw(shares, random),
            is_lost_in_assessment: shares.failed_essays.draw(random),
        }
    }

    pub(super) fn is_checked(&self) -> bool {
        self.spellcheck != SpellcheckFate::Fails
    }

    pub(super) fn is_assessed(&self) -> bool {
        self.is_checked() && !self.is_lost_in_assessment
    }
}

impl SpellcheckFate {
    fn draw(shares: &Shares, random: &mut StdRng) -> Self {
        let (fails, recovers) = (shares.failed_essays.draw(random), shares.recovered.draw(random));
        match (fails, recovers) {
            (false, _) => Self::Succeeds,
            (true, true) => Self::Recovers,
            (true, false) => Self::Fails,
        }
    }
}

/// 1 to `max`: often a group, now and then several classes; a quarter of `max` in the mean.
fn count_of_essays(max: u32, random: &mut impl Rng) -> u32 {
    let share = random.random::<f64>() * random.random::<f64>();
    // Both factors are below 1, so the cast only cuts the fraction off.
    1 + (share * f64::from(max)) as u32
}
