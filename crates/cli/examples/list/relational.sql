-- The rows of the service with one column per fact, as a service without JSON documents would store
-- them: all fields that the API shows.

create table plain_batches (
    batch_id                varchar(255) primary key,
    user_id                 varchar(255) not null,
    assignment_id           varchar(255),
    overall_status          varchar(64) not null,
    essay_count             integer not null,
    completed_essay_count   integer not null,
    failed_essay_count      integer not null,
    requested_pipeline      varchar(64),
    current_phase           varchar(64),
    course_code             varchar(16) not null,
    org_id                  varchar(255),
    class_id                varchar(255),
    student_prompt_ref      jsonb,
    processing_started_at   timestamptz,
    processing_completed_at timestamptz,
    created_at              timestamptz not null,
    updated_at              timestamptz not null
);

create index plain_batches_of_user on plain_batches (user_id, created_at desc, batch_id);

create table plain_essays (
    essay_id                    varchar(255) primary key,
    batch_id                    varchar(255) not null references plain_batches,
    filename                    varchar(255),
    file_upload_id              varchar(255),
    original_text_storage_id    varchar(255),
    spellcheck_status           varchar(64),
    spellcheck_correction_count integer,
    l2_dictionary_corrections   integer,
    spellchecker_corrections    integer,
    word_count                  integer,
    correction_density          double precision,
    corrected_text_storage_id   varchar(255),
    spellcheck_error_detail     jsonb,
    spellcheck_completed_at     timestamptz,
    cj_assessment_status        varchar(64),
    cj_rank                     integer,
    cj_score                    double precision,
    cj_comparison_count         integer,
    cj_assessment_error_detail  jsonb,
    cj_assessment_completed_at  timestamptz,
    created_at                  timestamptz not null,
    updated_at                  timestamptz not null
);

create index plain_essays_of_batch on plain_essays (batch_id);

insert into plain_batches
select
    batch_id, user_id, state #>> '{assignment_id, value}', status, jsonb_array_length(essay_ids),
    jsonb_array_length(essay_ids), 0, null, null, state #>> '{registration, course_code, value}',
    state #>> '{registration, org_id, value}', state #>> '{registration, class_id, value}',
    (state #> '{registration, student_prompt_ref, value}')::jsonb,
    (state ->> 'processing_started_at')::timestamptz, (state #>> '{pipeline, at}')::timestamptz,
    created_at, coalesce((state #>> '{pipeline, at}')::timestamptz, created_at)
from batches;

insert into plain_essays
select
    essay_id, batch_id,
    state #>> '{slot, value, original_file_name}',
    state #>> '{slot, value, file_upload_id}',
    state #>> '{slot, value, text_storage_id}',
    case when state #> '{phases, spellcheck, completed}' is not null then 'completed' end,
    (state #>> '{spellcheck, corrections, value, made}')::integer,
    (state #>> '{spellcheck, corrections, value, metrics, l2_dictionary_corrections}')::integer,
    (state #>> '{spellcheck, corrections, value, metrics, spellchecker_corrections}')::integer,
    (state #>> '{spellcheck, corrections, value, metrics, word_count}')::integer,
    (state #>> '{spellcheck, corrections, value, metrics, correction_density}')::double precision,
    state #>> '{spellcheck, corrected_text_storage_id, value}',
    null,
    (state #>> '{phases, spellcheck, completed, at}')::timestamptz,
    case when state #> '{phases, cj_assessment, completed}' is not null then 'completed' end,
    (state #>> '{cj_assessment, place, value, rank}')::integer,
    (state #>> '{cj_assessment, place, value, score}')::double precision,
    (state #>> '{cj_assessment, comparison_count, value}')::integer,
    null,
    (state #>> '{phases, cj_assessment, completed, at}')::timestamptz,
    (state #>> '{home, at}')::timestamptz,
    (state #>> '{phases, cj_assessment, completed, at}')::timestamptz
from essays;
