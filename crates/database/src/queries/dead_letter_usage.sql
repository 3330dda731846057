-- Number and bytes of all dead letters, maintained by triggers.
select letters, bytes from dead_letter_usage
