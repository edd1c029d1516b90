// What a Go program does with the Lambda API: a function and a mapping, from their creation to their end.
// It prints what it saw, a line each; main.rs holds that against what AWS says.
package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

const name = "from-go"

func code() []byte {
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	file, err := archive.Create("app.py")
	must(err)
	_, err = file.Write([]byte("def handler(event, context):\n    return {'got': event}\n"))
	must(err)
	must(archive.Close())
	return buffer.Bytes()
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	settings, err := config.LoadDefaultConfig(ctx)
	must(err)
	client := lambda.NewFromConfig(settings)

	made, err := client.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: aws.String(name), Runtime: types.RuntimePython312, Handler: aws.String("app.handler"),
		Role: aws.String("arn:aws:iam::000000000000:role/lambda"),
		Code: &types.FunctionCode{ZipFile: code()}, Publish: true,
	})
	must(err)
	fmt.Println("made", made.State, *made.Version)
	must(lambda.NewPublishedVersionActiveWaiter(client).Wait(ctx,
		&lambda.GetFunctionConfigurationInput{FunctionName: aws.String(name), Qualifier: aws.String("1")}, time.Minute))

	// An ARN in the path: encoded once on the wire, twice where it is signed.
	reply, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: made.FunctionArn, Payload: []byte(`{"n":1}`)})
	must(err)
	fmt.Println("replied", reply.StatusCode, *reply.ExecutedVersion, string(reply.Payload))

	mapping, err := client.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String(name), EventSourceArn: aws.String(os.Args[1]), BatchSize: aws.Int32(5),
	})
	must(err)
	fmt.Println("mapped", *mapping.State, *mapping.BatchSize)
	get := &lambda.GetEventSourceMappingInput{UUID: mapping.UUID}
	for {
		got, err := client.GetEventSourceMapping(ctx, get)
		must(err)
		if *got.State == "Enabled" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("enabled")
	_, err = client.DeleteEventSourceMapping(ctx, &lambda.DeleteEventSourceMappingInput{UUID: mapping.UUID})
	must(err)

	pages := lambda.NewListVersionsByFunctionPaginator(client,
		&lambda.ListVersionsByFunctionInput{FunctionName: aws.String(name), MaxItems: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		must(err)
		for _, version := range page.Versions {
			fmt.Println("version", *version.Version)
		}
	}
	_, err = client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String(name)})
	must(err)
	_, err = client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(name)})
	var gone *types.ResourceNotFoundException
	if !errors.As(err, &gone) {
		log.Fatalf("expected ResourceNotFoundException, got %v", err)
	}
	fmt.Println("gone", *gone.Message)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
