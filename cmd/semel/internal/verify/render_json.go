package verify

import "time"

// View is a report as JSON. Names and meanings are stable; names may be added.
type View struct {
	Target    string       `json:"target"`
	Profile   string       `json:"profile"`
	KeyHeader string       `json:"key_header"`
	Started   time.Time    `json:"started"`
	Millis    int64        `json:"duration_ms"`
	Requests  int          `json:"requests"`
	Complete  bool         `json:"complete"`
	Pass      int          `json:"pass"`
	Fail      int          `json:"fail"`
	FailMust  int          `json:"fail_must"`
	Skip      int          `json:"skip"`
	Info      int          `json:"info"`
	Results   []ResultView `json:"results"`
}

// ResultView is a result as JSON.
type ResultView struct {
	Rule     string     `json:"rule"`
	Title    string     `json:"title"`
	Severity string     `json:"severity"`
	Status   string     `json:"status"`
	Detail   string     `json:"detail"`
	Source   string     `json:"source"`
	Remedy   string     `json:"remedy"`
	Millis   int64      `json:"duration_ms"`
	Evidence []Evidence `json:"evidence"`
}

// View makes the JSON form.
func (r *Report) View() View {
	v := View{
		Target: r.Target, Profile: r.Profile, KeyHeader: r.KeyHeader, Started: r.Started.UTC(), Millis: r.Took.Milliseconds(),
		Requests: r.Requests, Complete: r.Complete,
		Pass: r.Count(Passed), Fail: r.Count(Failed), FailMust: r.Broken(Must), Skip: r.Count(Skipped), Info: r.Count(Noted),
		Results: make([]ResultView, 0, len(r.Results)),
	}
	for i := range r.Results {
		res := &r.Results[i]
		evidence := res.Evidence
		if evidence == nil {
			evidence = []Evidence{}
		}
		v.Results = append(v.Results, ResultView{
			Rule: res.Rule.ID, Title: res.Rule.Title, Severity: res.Rule.Severity.String(), Status: res.Status.String(),
			Detail: res.Detail, Source: res.Rule.Source, Remedy: res.Rule.Remedy, Millis: res.Took.Milliseconds(), Evidence: evidence,
		})
	}
	return v
}
