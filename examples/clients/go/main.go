// Detect has an Oddwave service label the rows of a CSV: detect INPUT.csv OUTPUT.csv [URL].
// If ODDWAVE_API_KEY is set, it is sent as the key.
package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const attempts = 3 // while the service is busy

// answer holds both of the service's documented forms.
type answer struct {
	LogID     string `json:"logId"`
	ErrorCode int    `json:"errorCode"`
	ErrorMsg  string `json:"errorMsg"`
	Result    struct {
		CSV []byte `json:"csv"` // the JSON package decodes base64
	} `json:"result"`
}

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: detect INPUT.csv OUTPUT.csv [URL]")
		os.Exit(1)
	}
	url := "http://127.0.0.1:8080"
	if len(os.Args) == 4 {
		url = os.Args[3]
	}
	if err := run(os.Args[1], os.Args[2], url); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(source, target, url string) error {
	table, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("can't read the input: %w", err)
	}
	labelled, err := detect(table, strings.TrimRight(url, "/")+"/time-series-anomaly-detection")
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(bytes.NewReader(labelled)).ReadAll()
	if err != nil || len(rows) == 0 || len(rows[0]) < 3 {
		return fmt.Errorf("the answer of %s isn't the documented one", url)
	}
	if err := save(target, labelled); err != nil {
		return fmt.Errorf("can't write the output: %w", err)
	}
	anomalous := 0
	for _, row := range rows[1:] {
		if row[1] == "1" { // time, label, score
			anomalous++
		}
	}
	fmt.Printf("%s: %d rows, %d of them anomalous\n", target, len(rows)-1, anomalous)
	return nil
}

// detect sends a CSV and returns the service's: time, label and score of every row.
func detect(table []byte, address string) ([]byte, error) {
	payload, err := json.Marshal(map[string][]byte{"csv": table}) // bytes become base64
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: time.Minute}
	for attempt := 1; ; attempt++ {
		response, body, err := post(&client, address, payload)
		if err != nil {
			return nil, fmt.Errorf("can't reach the service: %w", err)
		}
		if response.StatusCode == http.StatusServiceUnavailable && attempt < attempts {
			time.Sleep(pause(response.Header.Get("Retry-After")))
			continue
		}
		return read(response.StatusCode, body, address)
	}
}

func post(client *http.Client, address string, payload []byte) (*http.Response, []byte, error) {
	request, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(payload))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if key := os.Getenv("ODDWAVE_API_KEY"); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

func pause(retryAfter string) time.Duration {
	seconds, err := strconv.Atoi(retryAfter)
	if err != nil || seconds < 0 {
		seconds = 1
	}
	if seconds > 30 {
		seconds = 30
	}
	return time.Duration(seconds) * time.Second
}

// read takes the CSV out of an answer, or the reason why there is none.
func read(status int, body []byte, address string) ([]byte, error) {
	var told answer
	err := json.Unmarshal(body, &told)
	switch {
	case status == http.StatusOK && err == nil && len(told.Result.CSV) > 0:
		return told.Result.CSV, nil
	case status == http.StatusOK:
		return nil, fmt.Errorf("the answer of %s isn't the documented one", address)
	case err != nil || told.ErrorMsg == "":
		return nil, fmt.Errorf("the service answered with HTTP status %d and no reason", status)
	}
	return nil, fmt.Errorf("the service refused: %s (errorCode %d, logId %s)", told.ErrorMsg, told.ErrorCode, told.LogID)
}

// save writes a file whole or not at all.
func save(path string, content []byte) error {
	part := path + ".part"
	defer os.Remove(part)
	if err := os.WriteFile(part, content, 0o644); err != nil {
		return err
	}
	return os.Rename(part, path)
}
