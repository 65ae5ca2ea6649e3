"""A topology for people: as text (`text`) and as a drawing (`layout`, `drawing`)."""
