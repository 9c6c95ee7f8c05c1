"""Reading recurrent cells off a legacy graph: one file for each thing that is read."""
