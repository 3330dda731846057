//! The same facts as rows of plain columns, read as an object-relational mapper reads them: the count, the
//! page, and the essays of its batches.
//!
//! They are written in one go, so they lie as close together as they ever will.

use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::backend::Backend;
use super::{BATCHES, ESSAYS, lives};

const TABLES: &str = include_str!("relational.sql");
const COUNT: &str = "select count(*) from plain_batches where user_id = $1";
const PAGE: &str = "
    select batch_id, user_id, assignment_id, overall_status, essay_count, completed_essay_count,
           failed_essay_count, requested_pipeline, current_phase, course_code, org_id, class_id,
           student_prompt_ref, processing_started_at, processing_completed_at, created_at, updated_at
    from plain_batches
    where user_id = $1
    order by created_at desc, batch_id
    limit $2 offset $3";
const ESSAYS_OF: &str = "
    select essay_id, batch_id, filename, file_upload_id, original_text_storage_id,
           spellcheck_status, spellcheck_correction_count, l2_dictionary_corrections,
           spellchecker_corrections, word_count, correction_density, corrected_text_storage_id,
           spellcheck_error_detail, spellcheck_completed_at, cj_assessment_status, cj_rank, cj_score,
           cj_comparison_count, cj_assessment_error_detail, cj_assessment_completed_at,
           created_at, updated_at
    from plain_essays
    where batch_id = any ($1)";

/// The tables, and the connection on which they are read. Its session is as the server makes it.
pub(crate) struct Relational {
    connection: PgConnection,
    backend: Backend,
}

impl Relational {
    /// Makes the tables of what the service has written.
    pub(crate) async fn fill(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.expect("a connection");
        sqlx::raw_sql(TABLES).execute(&mut connection).await.expect("the tables are made");
        let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await;
        Self { connection, backend: Backend { pid: pid.expect("its backend") } }
    }

    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    pub(crate) async fn cpu_of_list(&mut self) -> u64 {
        self.backend.cpu_of(read(&mut self.connection, true)).await
    }

    pub(crate) async fn cpu_of_summary(&mut self) -> u64 {
        self.backend.cpu_of(read(&mut self.connection, false)).await
    }
}

async fn read(connection: &mut PgConnection, include_essays: bool) {
    let user = lives::measured_teacher();
    let count = sqlx::query_scalar(COUNT).bind(user.as_str()).fetch_one(&mut *connection).await;
    let page = sqlx::query(PAGE)
        .bind(user.as_str())
        .bind(i64::from(BATCHES))
        .bind(0_i64)
        .fetch_all(&mut *connection)
        .await
        .expect("the page");
    assert_eq!((count.expect("the count"), page.len()), (i64::from(BATCHES), BATCHES as usize));
    if include_essays {
        let ids: Vec<String> = page.iter().map(|batch: &PgRow| batch.get(0)).collect();
        let essays = sqlx::query(ESSAYS_OF).bind(ids).fetch_all(connection).await;
        assert_eq!(essays.expect("the essays").len(), ESSAYS);
    }
}
