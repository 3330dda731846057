//! The same facts in plain columns, read as an object-relational mapper would: the count, the page, and
//! the essays of its batches.
//!
//! The rows are written in one statement per table, so they lie as close together as possible.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::backend::Backend;
use super::{BATCHES, ESSAYS, lives};

const TABLES: &str = include_str!("relational.sql");
const BEGIN: &str = "begin isolation level repeatable read, read only";
const COMMIT: &str = "commit";
const COUNT: &str = "select count(*) from plain_batches where user_id = $1";
const PAGE: &str = "
    select batch_id, user_id, assignment_id, overall_status, essay_count, completed_essay_count,
           failed_essay_count, requested_pipeline, current_phase, course_code, org_id, class_id,
           student_prompt_ref, processing_started_at, processing_completed_at, created_at, updated_at
    from plain_batches
    where user_id = $1
    order by created_at desc, batch_id
    limit $2 offset $3";
/// `{batches}` is replaced by one parameter per batch.
const ESSAYS_OF: &str = "
    select essay_id, batch_id, filename, file_upload_id, original_text_storage_id,
           spellcheck_status, spellcheck_correction_count, l2_dictionary_corrections,
           spellchecker_corrections, word_count, correction_density, corrected_text_storage_id,
           spellcheck_error_detail, spellcheck_completed_at, cj_assessment_status, cj_rank, cj_score,
           cj_comparison_count, cj_assessment_error_detail, cj_assessment_completed_at,
           created_at, updated_at
    from plain_essays
    where batch_id in ({batches})";

/// The plain tables, and the connection that reads them, with the default session settings.
pub(crate) struct Relational {
    connection: PgConnection,
    backend: Backend,
}

impl Relational {
    /// Creates the tables from the rows of the service.
    pub(crate) async fn fill(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.expect("a connection");
        sqlx::raw_sql(TABLES).execute(&mut connection).await.expect("create the tables");
        let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await;
        Self { connection, backend: Backend { pid: pid.expect("its backend") } }
    }

    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    /// CPU time of the backend for the whole list, read with three statements.
    pub(crate) async fn cpu_of_list(&mut self) -> u64 {
        self.backend.cpu_of(read(&mut self.connection)).await
    }

    /// The same with all three statements in one snapshot, as the service reads it.
    pub(crate) async fn cpu_of_list_in_one_snapshot(&mut self) -> u64 {
        let connection = &mut self.connection;
        let reading = async {
            send(connection, BEGIN).await;
            read(connection).await;
            send(connection, COMMIT).await;
        };
        self.backend.cpu_of(reading).await
    }
}

async fn read(connection: &mut PgConnection) {
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

    let ids: Vec<String> = page.iter().map(|batch: &PgRow| batch.get(0)).collect();
    let parameters: Vec<_> = (1..=ids.len()).map(|number| format!("${number}")).collect();
    let statement = ESSAYS_OF.replace("{batches}", &parameters.join(", "));
    let query = sqlx::query(AssertSqlSafe(statement));
    let query = ids.into_iter().fold(query, |query, id| query.bind(id));
    let essays = query.fetch_all(connection).await.expect("the essays");
    assert_eq!(essays.len(), ESSAYS);
}

async fn send(connection: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.expect("a transaction statement");
}
