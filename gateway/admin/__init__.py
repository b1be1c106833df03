"""What reviewers see and do over HTTP: the API under `/api`, the console under `/console`."""
