//! Random batches: the owner, the essays, and the planned outcome of each essay.
//!
//! All of that is drawn here at once; the times of the events are drawn in `life`.

use projection::{BatchId, BatchStatus, CourseCode, EssayId, UserId};
use rand::rngs::StdRng;
use rand::{Rng, RngExt as _};
use uuid::Uuid;

use crate::options::{Shares, SimulationOptions};
use crate::random::{named_id, one_of, usually, uuid};

/// Teachers of one organisation.
const TEACHERS_PER_ORGANISATION: u32 = 25;
/// Number of words in an essay.
const WORDS: std::ops::RangeInclusive<u32> = 120..=900;
/// Words per correction, at least.
const WORDS_PER_CORRECTION_MIN: u32 = 12;
/// Most essays with known grades in one assessment.
const ANCHORS_MAX: usize = 4;
/// Names of students, some of them not ASCII.
const STUDENTS: [&str; 12] = [
    "anna", "björn", "chloé", "dîlan", "erik", "fatima", "göran", "hanna", "小明", "josé", "Зоя",
    "Þór",
];

/// A batch, with its planned outcome.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) user_id: UserId,
    pub(crate) correlation_id: Uuid,
    pub(crate) course_code: CourseCode,
    pub(crate) org_id: Option<String>,
    pub(crate) class_id: Option<String>,
    pub(crate) prompt_id: Option<String>,
    pub(crate) assignment_id: Option<String>,
    pub(crate) essays: Vec<Essay>,
    /// Number of essays with known grades that are assessed with it.
    pub(crate) anchors: usize,
    /// Whether its pipeline reports its completion.
    pub(crate) is_finished: bool,
    fails: bool,
}

/// An essay, with its planned outcome.
#[derive(Debug)]
pub(crate) struct Essay {
    pub(crate) id: EssayId,
    pub(crate) file_name: String,
    pub(crate) file_upload_id: String,
    pub(crate) text_id: String,
    pub(crate) corrected_text_id: String,
    pub(crate) words: u32,
    pub(crate) corrections: u32,
    pub(crate) spellcheck: SpellcheckOutcome,
    fails_assessment: bool,
}

/// Planned outcome of the spellcheck of an essay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpellcheckOutcome {
    Succeeds,
    /// Fails, then succeeds in a second attempt.
    Recovers,
    Fails,
}

/// User id of the teacher with this number; the first is 1.
pub(crate) fn teacher(number: u32) -> UserId {
    #[expect(clippy::expect_used, reason = "a word with a number is within the limits of ids")]
    UserId::parse(format!("teacher-{number}")).expect("an id")
}

impl Batch {
    pub(crate) fn draw(
        teacher_number: u32,
        options: &SimulationOptions,
        random: &mut StdRng,
    ) -> Self {
        let shares = &options.shares;
        let organisation = teacher_number / TEACHERS_PER_ORGANISATION + 1;
        let essays = 1..=count_of_essays(options.essays_max, random);
        #[expect(clippy::expect_used, reason = "a UUID is within the limits of ids")]
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

    /// The essays that pass the spellcheck.
    pub(crate) fn spellchecked(&self) -> impl Iterator<Item = &Essay> {
        self.essays.iter().filter(|essay| essay.passes_spellcheck())
    }

    /// The essays that are ranked in the assessment.
    pub(crate) fn assessed(&self) -> impl Iterator<Item = &Essay> {
        self.spellchecked().filter(|essay| !essay.fails_assessment)
    }

    /// State of the batch after the spellcheck phase.
    pub(crate) fn status_after_spellcheck(&self) -> BatchStatus {
        match self.fails {
            true => BatchStatus::FailedCritically,
            false => self.status_with(self.spellchecked().count()),
        }
    }

    /// State of the batch after the assessment phase.
    pub(crate) fn status_after_assessment(&self) -> BatchStatus {
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
        #[expect(clippy::expect_used, reason = "a UUID is within the limits of ids")]
        let id = EssayId::parse(uuid(random).to_string()).expect("an id");
        Self {
            id,
            file_name: format!("essay_{student}_{number}.docx"),
            file_upload_id: named_id(random, "upload"),
            text_id: named_id(random, "text"),
            corrected_text_id: named_id(random, "corrected"),
            words,
            corrections: random.random_range(0..=words / WORDS_PER_CORRECTION_MIN),
            spellcheck: SpellcheckOutcome::draw(shares, random),
            fails_assessment: shares.failed_essays.draw(random),
        }
    }

    pub(crate) fn passes_spellcheck(&self) -> bool {
        self.spellcheck != SpellcheckOutcome::Fails
    }

    pub(crate) fn passes_assessment(&self) -> bool {
        self.passes_spellcheck() && !self.fails_assessment
    }
}

impl SpellcheckOutcome {
    fn draw(shares: &Shares, random: &mut StdRng) -> Self {
        let (fails, recovers) = (shares.failed_essays.draw(random), shares.recovered.draw(random));
        match (fails, recovers) {
            (false, _) => Self::Succeeds,
            (true, true) => Self::Recovers,
            (true, false) => Self::Fails,
        }
    }
}

/// 1 to `max`, with small batches more frequent; the mean is about a quarter of `max`.
fn count_of_essays(max: u32, random: &mut impl Rng) -> u32 {
    let share = random.random::<f64>() * random.random::<f64>();
    // Both factors are below 1, so the cast only truncates the fraction.
    1 + (share * f64::from(max)) as u32
}
