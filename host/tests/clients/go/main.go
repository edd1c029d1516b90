// The test function under aws-lambda-go. The event says what to do.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing/iotest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type asked struct {
	Do      string   `json:"do"`
	Code    int      `json:"code"`
	Seconds float64  `json:"seconds"`
	Bytes   int      `json:"bytes"`
	Parts   []string `json:"parts"`
}

func handler(ctx context.Context, event json.RawMessage) (any, error) {
	var asked asked
	_ = json.Unmarshal(event, &asked) // an event that is no object is echoed
	switch asked.Do {
	case "error":
		return nil, fmt.Errorf("as asked")
	case "panic":
		panic("as asked")
	case "exit":
		os.Exit(asked.Code)
	case "sleep":
		time.Sleep(time.Duration(asked.Seconds * float64(time.Second)))
		return nil, nil
	case "size":
		return strings.Repeat("x", asked.Bytes-2), nil
	case "stream", "fail":
		readers := []io.Reader{}
		for _, part := range asked.Parts {
			readers = append(readers, strings.NewReader(part))
		}
		if asked.Do == "fail" {
			readers = append(readers, iotest.ErrReader(fmt.Errorf("mid-stream")))
		}
		return io.MultiReader(readers...), nil
	case "context":
		told, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return map[string]any{
			"id": told.AwsRequestID, "arn": told.InvokedFunctionArn, "left": time.Until(deadline).Milliseconds(),
			"custom": told.ClientContext.Custom, "trace": os.Getenv("_X_AMZN_TRACE_ID"), "env": environment(),
		}, nil
	}
	return event, nil
}

func environment() map[string]string {
	all := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		all[name] = value
	}
	return all
}

func main() {
	if os.Getenv("FAIL_INIT") != "" {
		fmt.Fprintln(os.Stderr, "no start")
		os.Exit(7)
	}
	if file := os.Getenv("TELL_SIGTERM"); file != "" {
		tell := func() { _ = os.WriteFile(file, []byte("told"), 0o644) }
		lambda.StartWithOptions(handler, lambda.WithEnableSIGTERM(tell))
	}
	lambda.Start(handler)
}
