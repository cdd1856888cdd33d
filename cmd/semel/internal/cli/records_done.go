package cli

// doneView is what an action has done, or would do, as JSON.
type doneView struct {
	Done    string `json:"done"` // released, completed or purged
	DryRun  bool   `json:"dry_run"`
	Slot    string `json:"slot,omitempty"`
	Ref     string `json:"ref,omitempty"`
	Fence   int64  `json:"fence,omitempty"`
	Effect  string `json:"effect,omitempty"`
	Records *int   `json:"records,omitempty"` // of a purge
	Reason  string `json:"reason,omitempty"`
}

// tellDone says what was done in the format that was asked for. text is the table's.
func (o *operator) tellDone(format *outputFlag, v doneView, text string) error {
	if format.value == formatJSON {
		return o.writeJSON(v)
	}
	if v.DryRun {
		text = "would be " + text
	}
	o.out.printf("%s", text)
	return nil
}
