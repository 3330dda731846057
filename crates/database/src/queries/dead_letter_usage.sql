-- How many dead letters there are, and how many bytes they take; triggers keep both.
select letters, bytes from dead_letter_usage
