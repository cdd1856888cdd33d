package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/semelhttp"
)

// answerFlags are the flags that describe a response.
type answerFlags struct {
	status int
	header []string
	body   string
}

func (f *answerFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.status, "status", 0, "`CODE` of the response, 200 to 599 (required)")
	cmd.Flags().StringArrayVar(&f.header, "header", nil, "field of the response as `'NAME: VALUE'`; repeatable")
	cmd.Flags().StringVar(&f.body, "body-file", "", "`FILE` with the body of the response; - for standard input (default no body)")
}

func (f *answerFlags) stdin() bool { return f.body == "-" }

// read makes the response; stdin is read for "-".
func (f *answerFlags) read(stdin io.Reader) (semelhttp.Kept, error) {
	k := semelhttp.Kept{Status: f.status, Header: make(http.Header)}
	if f.status == 0 {
		return k, wrong("say what the service answered, such as --status 201", "--status is required")
	}
	if f.status < 200 || f.status > 599 {
		return k, wrong("say what the service answered, such as --status 201", "--status: want 200 to 599, not %d", f.status)
	}
	for _, line := range f.header {
		name, value, err := parseField(line)
		if err != nil {
			return k, wrong("write it as 'Content-Type: application/json'", "--header: %w", err)
		}
		k.Header.Add(name, value)
	}
	var err error
	switch f.body {
	case "":
	case "-":
		k.Body, err = io.ReadAll(stdin)
	default:
		k.Body, err = os.ReadFile(f.body)
	}
	if err != nil {
		return k, outside("", "--body-file: %w", err)
	}
	if len(k.Body) > 0 && (f.status == http.StatusNoContent || f.status == http.StatusNotModified) {
		return k, wrong("leave --body-file away", "a response with status %d has no body", f.status)
	}
	return k, nil
}

// parseField reads a header line (RFC 9110 section 5.5).
func parseField(line string) (name, value string, err error) {
	name, value, found := strings.Cut(line, ":")
	if !found {
		return "", "", fmt.Errorf("%q has no colon", line)
	}
	if name, err = config.ParseToken(name); err != nil {
		return "", "", err
	}
	value = strings.Trim(value, " \t")
	for _, r := range value {
		if r < ' ' && r != '\t' || r == 0x7f {
			return "", "", fmt.Errorf("the value of %s has a control character", name)
		}
	}
	return name, value, nil
}
